"""Times, zones and units of a log: items 32 and 34-40 of the catalogue of bad inputs."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from churnsurv.errors import (
    ArgumentError,
    DataTypeError,
    EmptyDataError,
    LocalTimeError,
    TimeFormatError,
    TimeZoneError,
    WindowError,
)
from churnsurv.tables.churn import Silence
from churnsurv.tables.events import EventLog
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow, resolve_moment
from churnsurv.tables.zones import offset_changes

UTC = dt.UTC
PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def read(engine):
    """Read a column of times; customers are ``c0, c1, …`` in its order."""

    def build(times, *, timezone="Europe/Paris", frame=pd.DataFrame, **settings):
        table = frame({"who": [f"c{k}" for k in range(len(times))], "when": times})
        return EventLog.from_frame(table, customer="who", time="when", timezone=timezone, engine=engine, **settings)

    return build


def found(log: EventLog) -> list[str]:
    """Moments in UTC in the order of the rows, as text."""
    epoch = dt.datetime(1970, 1, 1, tzinfo=UTC)
    return [str((epoch + dt.timedelta(microseconds=int(t))).replace(tzinfo=None)) for t in log.frame()["time"]]


# Timestamps and dates ------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_naive_timestamps_are_read_in_the_stated_zone(read, unit):
    assert found(read(np.array(["2024-01-05T10:00:00"], f"datetime64[{unit}]"))) == ["2024-01-05 09:00:00"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_aware_timestamps_of_every_unit_keep_their_moment(read, unit, zone):
    times = pd.Series(pd.to_datetime(["2024-01-05 10:00"]).tz_localize(zone)).dt.as_unit(unit)
    assert found(read(times)) == ["2024-01-05 10:00:00" if zone == "UTC" else "2024-01-05 01:00:00"]


def test_polars_timestamps_mean_the_same(read):
    aware = pl.Series([dt.datetime(2024, 1, 5, 10, tzinfo=ZoneInfo("Asia/Tokyo"))])
    assert found(read(aware, frame=pl.DataFrame)) == ["2024-01-05 01:00:00"]
    assert found(read([dt.datetime(2024, 1, 5, 10)], frame=pl.DataFrame)) == ["2024-01-05 09:00:00"]


def test_a_date_means_its_midnight(read):
    assert found(read([dt.date(2024, 7, 1), dt.date(2024, 1, 1)])) == ["2024-06-30 22:00:00", "2023-12-31 23:00:00"]


def test_microseconds_are_kept(read):
    assert found(read(["2024-01-05T10:00:00.123456"], time_format="iso")) == ["2024-01-05 09:00:00.123456"]


def test_a_time_may_precede_1970(read):
    assert found(read(["1969-12-31 23:59:59.999999"], timezone="UTC", time_format="iso")) == [
        "1969-12-31 23:59:59.999999"
    ]


# Item 34: naive and aware mixed -----------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", [pd.Timestamp, dt.datetime.fromisoformat])
def test_naive_and_aware_objects_in_one_column_are_refused(read, refuses, flip, kind):
    moments = [kind("2024-01-01T00:00"), kind("2024-01-02T00:00+09:00"), None]
    times = pd.Series(moments[::-1] if flip else moments, dtype=object)
    with refuses(
        TimeZoneError, "1 of 2 times in 'when' carry a time zone, the others do not.", "2024-01-02 00:00:00+09:00",
        "when=2024-01-01 00:00:00", "shifted against the rest", column="when",
    ):  # fmt: skip
        read(times)


def test_naive_and_aware_texts_in_one_column_are_refused_with_one_of_each(read, refuses):
    texts = ["2024-01-01T10:00", "2024-01-01T11:00", "2024-01-01T10:00Z"]
    with refuses(
        TimeZoneError, "1 of 3 times in 'when' carry an offset", "when=2024-01-01T10:00Z", "when=2024-01-01T10:00\n",
        column="when",
    ):  # fmt: skip
        read(texts, time_format="iso")


def test_objects_of_several_zones_are_moments_all_the_same(read):
    times = pd.Series([pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-01", tz="Asia/Tokyo")], dtype=object)
    assert found(read(times)) == ["2024-01-01 00:00:00", "2023-12-31 15:00:00"]


# Item 35: clocks that change --------------------------------------------------------------------------------


def test_the_day_the_clocks_go_forward_has_23_hours(read):
    log = read(["2024-03-31 00:00", "2024-04-01 00:00"], time_format="iso")
    first, last = log.frame()["time"]
    assert last - first == 23 * 3_600_000_000
    assert ObservationWindow("2024-03-31", "2024-04-01").days("Europe/Paris") == 23 / 24
    assert ObservationWindow("2024-10-27", "2024-10-28").days("Europe/Paris") == 25 / 24
    assert ObservationWindow("2024-03-31", "2024-04-01").days("UTC") == 1


def test_a_local_time_that_does_not_exist_is_refused(read, refuses):
    with refuses(
        LocalTimeError, "2 of 4 times in 'when' do not exist in Europe/Paris: the clocks were put forward.",
        "row=1, who=c1, when=2024-03-31 02:00", "row=2", 'timezone="UTC"', 'on_bad="drop"', column="when", count=2,
        total=4,
    ):  # fmt: skip
        read(["2024-03-31 01:59", "2024-03-31 02:00", "2024-03-31 02:59", "2024-03-31 03:00"], time_format="iso")


def test_a_nonexistent_local_time_can_be_left_out(read):
    log = read(["2024-03-31 01:59", "2024-03-31 02:30", "2024-03-31 03:00"], time_format="iso", on_bad="drop")
    assert found(log) == ["2024-03-31 00:59:00", "2024-03-31 01:00:00"]
    assert [(fault.name, fault.count) for fault in log.faults] == [("nonexistent local time", 1)]


TWICE = ["2024-10-27 01:59", "2024-10-27 02:00", "2024-10-27 02:59", "2024-10-27 03:00"]


def test_a_local_time_that_exists_twice_is_refused(read, refuses):
    with refuses(
        LocalTimeError, "2 of 4 times in 'when' exist twice in Europe/Paris: the clocks were put back.",
        "row=1, who=c1, when=2024-10-27 02:00", 'on_ambiguous="earlier" or "later"', count=2,
    ):  # fmt: skip
        read(TWICE, time_format="iso")


@pytest.mark.parametrize(
    ("choice", "hours"),
    [("earlier", ["23:59", "00:00", "00:59", "02:00"]), ("later", ["23:59", "01:00", "01:59", "02:00"])],
)
def test_one_of_the_two_readings_can_be_chosen(read, choice, hours):
    assert [moment[11:16] for moment in found(read(TWICE, time_format="iso", on_ambiguous=choice))] == hours


@pytest.mark.parametrize(
    "zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"]
)
def test_every_half_hour_around_the_changes_of_a_zone_agrees_with_the_standard_library(read, zone):
    start = dt.datetime(2024, 3, 1)
    local = [start + dt.timedelta(minutes=30 * k) for k in range(48 * 270)]
    aware = [moment.replace(tzinfo=ZoneInfo(zone)) for moment in local]
    real = [moment.astimezone(UTC) for moment in aware]
    kept = [
        moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == naive
        for moment, naive in zip(real, local, strict=True)
    ]
    log = read(np.array(local, "datetime64[us]"), timezone=zone, on_ambiguous="earlier", on_bad="drop")
    times = log.engine.rows(f"SELECT time FROM {log.table} ORDER BY CAST(substr(customer_id, 2) AS INTEGER)")
    epoch = dt.datetime(1970, 1, 1, tzinfo=UTC)
    wanted = [
        (moment - epoch) // dt.timedelta(microseconds=1) for moment, is_real in zip(real, kept, strict=True) if is_real
    ]
    assert [time for (time,) in times] == wanted


def test_a_date_whose_midnight_was_skipped_means_the_first_moment_of_its_day(read):
    # São Paulo put its clocks forward at midnight: 4 November 2018 began at 01:00.
    for times, settings in (
        ([dt.date(2018, 11, 4)], {}),
        (["2018-11-04"], {"time_format": "iso"}),
        (["04.11.2018"], {"time_format": "%d.%m.%Y"}),
    ):
        assert found(read(times, timezone="America/Sao_Paulo", **settings)) == ["2018-11-04 03:00:00"]
    assert ObservationWindow("2018-11-04", "2018-11-05").days("America/Sao_Paulo") == 23 / 24


def test_a_moment_at_a_skipped_midnight_is_refused_all_the_same(read, refuses):
    with refuses(LocalTimeError, "do not exist in America/Sao_Paulo"):
        read(["2018-11-04 00:00"], timezone="America/Sao_Paulo", time_format="iso")


def test_changes_of_a_zone_are_found_to_the_second():
    first, changes = offset_changes("Europe/Paris", 1_704_067_200_000_000, 1_735_689_600_000_000)
    assert first == 3_600_000_000
    assert [(change.at, change.before, change.after) for change in changes] == [
        (1_711_846_800_000_000, 3_600_000_000, 7_200_000_000),
        (1_729_990_800_000_000, 7_200_000_000, 3_600_000_000),
    ]


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd", None, 3, "CEST"])
def test_an_unknown_zone_is_refused(read, refuses, zone):
    with refuses(TimeZoneError, f"there is no time zone {zone!r}.", 'timezone="Europe/London"'):
        read([dt.date(2024, 1, 1)], timezone=zone)


# Items 36, 37: the calendar and formats ------------------------------------------------------------------------


def test_a_leap_day_is_read_and_a_day_that_is_none_is_refused(read, refuses):
    assert found(read(["2024-02-29"], timezone="UTC", time_format="iso")) == ["2024-02-29 00:00:00"]
    with refuses(TimeFormatError, "1 of 1 times in 'when' cannot be read as stated.", "when=2023-02-29", count=1):
        read(["2023-02-29"], time_format="iso")


def test_a_leap_second_is_refused_and_never_shifted(read, refuses):
    with refuses(TimeFormatError, "cannot be read as stated", "when=2016-12-31 23:59:60"):
        read(["2016-12-31 23:59:60"], time_format="iso")


def test_text_without_a_format_is_refused(read, refuses):
    with refuses(
        TimeFormatError, "times in 'when' are text, and their format is not stated.", "when=02/01/2024",
        "2 January and 13/02 into 13 February", 'time_format="%Y-%m-%d %H:%M"', "--time-format", column="when",
    ):  # fmt: skip
        read(["02/01/2024", "13/02/2024"])


def test_every_row_is_read_in_the_one_stated_format(read, refuses):
    assert found(read(["02/01/2024", "13/02/2024"], timezone="UTC", time_format="%d/%m/%Y")) == [
        "2024-01-02 00:00:00",
        "2024-02-13 00:00:00",
    ]
    with refuses(TimeFormatError, "1 of 2 times in 'when' cannot be read as stated.", "row=1", "when=13/02/2024"):
        read(["02/01/2024", "13/02/2024"], time_format="%m/%d/%Y")


@pytest.mark.parametrize("text", ["epoch", "infinity", "today", "20240105", "2024-01-05 10", "2024-01-05 10:00 UTC",
                                  "2024-01-05 10:00:00 Asia/Tokyo", "2024-01-05T10:00z", "-2024-01-05", "2024-01-05 25:00",
                                  " 2024-01-05"])  # fmt: skip
def test_iso_means_iso_and_nothing_that_an_engine_reads_besides(read, refuses, text):
    with refuses(TimeFormatError, "1 of 1 times in 'when' cannot be read as stated.", f"when={text}"):
        read([text], time_format="iso")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-05T10:00:00Z", "2024-01-05 10:00:00"),
        ("2024-01-05 10:00+02:00", "2024-01-05 08:00:00"),
        ("2024-01-05T10:00:00.5-0330", "2024-01-05 13:30:00.500000"),
        ("2024-01-05T10:00:00+02", "2024-01-05 08:00:00"),
    ],
)
def test_an_offset_in_iso_text_is_honoured(read, text, moment):
    assert found(read([text], time_format="iso")) == [moment]


@pytest.mark.parametrize(
    ("text", "pattern", "moment"),
    [
        ("2024-01-05 10:00 +0200", "%Y-%m-%d %H:%M %z", "2024-01-05 08:00:00"),
        ("2024-01-05 10:00 Asia/Tokyo", "%Y-%m-%d %H:%M %Z", "2024-01-05 01:00:00"),
        ("5 Jan 24 10%z", "%-d %b %y %H%%z", "2024-01-05 09:00:00"),
    ],
)
def test_an_offset_or_zone_in_a_pattern_is_honoured(read, text, pattern, moment):
    assert found(read([text], time_format=pattern)) == [moment]


@pytest.mark.parametrize("pattern", ["%H:%M", "%d.%m.", "noon", "%%Y"])
def test_a_pattern_without_a_year_is_refused(read, refuses, pattern):
    with refuses(TimeFormatError, f"time_format={pattern!r} states no year.", "dated 1900", column="when"):
        read(["10:00"], time_format=pattern)


def test_a_pattern_that_is_none_is_refused(read, refuses):
    with refuses(TimeFormatError, "time_format='%Y-%Q' is not a pattern that can be read.", "strptime"):
        read(["2024-1"], time_format="%Y-%Q")


@pytest.mark.parametrize(("times", "named"), [([True, False], "BOOLEAN"), (pd.to_timedelta([1, 2], "D"), "INTERVAL")])
def test_a_column_that_is_no_moment_is_refused(read, refuses, times, named):
    with refuses(DataTypeError, f"times in 'when' are {named}, which is no moment.", column="when"):
        read(times)


# Item 38: epochs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_are_read_in_the_stated_unit(read, unit, as_text):
    number = 1_704_067_200 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    assert found(read([str(number) if as_text else number], epoch_unit=unit)) == ["2024-01-01 00:00:00"]


@pytest.mark.parametrize("times", [[1_704_067_200_123_456_789], ["1704067200123456789"]])
def test_nanoseconds_are_cut_to_the_microsecond_without_passing_through_a_float(read, times):
    assert found(read(times, epoch_unit="ns")) == ["2024-01-01 00:00:00.123456"]


@pytest.mark.parametrize("times", [[1_704_067_200.75], ["1704067200.75"]])
def test_parts_of_a_second_are_kept(read, times):
    assert found(read(times, epoch_unit="s")) == ["2024-01-01 00:00:00.750000"]


def test_numbers_without_a_unit_are_refused(read, refuses):
    with refuses(
        TimeFormatError, "'when' holds numbers, and their unit is not stated.", "when=1704067200",
        "January 1970 in milliseconds", 'epoch_unit="s"', "--epoch-unit", column="when",
    ):  # fmt: skip
        read([1_704_067_200])


@pytest.mark.parametrize(
    ("number", "unit"), [(1_704_067_200, "ms"), (1_704_067_200_000, "s"), (0, "s"), (20240105, "s")]
)
def test_a_unit_that_gives_implausible_moments_is_refused(read, refuses, number, unit):
    with refuses(
        TimeFormatError, "1 of 1 times in 'when' lie outside 1990 to 2100.", f"when={number}", "wrong unit",
        "state the right epoch_unit", count=1,
    ):  # fmt: skip
        read([number], epoch_unit=unit)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), float("inf"), 1e300, "9" * 40, "x"])
def test_numbers_too_large_for_any_moment_are_refused_and_never_wrap(read, refuses, number):
    with refuses(TimeFormatError, "1 of 1 times in 'when' cannot be read as stated."):
        read([number], epoch_unit="s")


def test_an_unknown_unit_is_refused(read, refuses):
    with refuses(TimeFormatError, "epoch_unit='h' is unknown."):
        read([1], epoch_unit="h")


def test_32_bit_floats_are_refused_since_they_cannot_hold_a_moment(read, refuses):
    with refuses(DataTypeError, "times in 'when' are 32-bit floats.", "two minutes", column="when"):
        read(np.array([1_704_067_200], np.float32), epoch_unit="s")


def test_time_units_give_the_same_log(read):
    moments = pd.Series(pd.to_datetime(["2024-01-05 10:00:01", "2024-06-05 23:59:59"]))
    logs = [read(moments.dt.tz_localize("UTC").dt.as_unit(unit).astype("int64"), epoch_unit=unit)
            for unit in ("s", "ms", "us", "ns")]  # fmt: skip
    for log in logs[1:]:
        pd.testing.assert_frame_equal(log.frame(), logs[0].frame())


# Item 39: placeholders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [["2024-01-01", "9999-12-31"], ["2024-01-01", "0001-01-01"]])
def test_a_placeholder_date_is_refused_and_is_neither_event_nor_censoring(read, refuses, times):
    with refuses(
        TimeFormatError, "1 of 2 times in 'when' lie outside 1900 to 2200.", f"when={times[1]}",
        "placeholder such as 9999-12-31", "a placeholder is no event", 'on_bad="drop"', count=1, total=2,
    ):  # fmt: skip
        read(times, time_format="iso")


def test_a_placeholder_in_a_timestamp_column_is_refused_too(read, refuses):
    with refuses(TimeFormatError, "1 of 2 times in 'when' lie outside 1900 to 2200."):
        read([dt.datetime(2024, 1, 1), dt.datetime(9999, 12, 31)], frame=pl.DataFrame)


@pytest.mark.parametrize("number", [-(2**63) + 5, 2**63 - 2, -(2**60), 2**60])
def test_moments_beyond_all_calendars_are_refused_and_do_not_break_the_engine(read, refuses, number):
    with refuses(TimeFormatError, "1 of 1 times in 'when' lie outside 1900 to 2200.", f"when={number} µs"):
        read(pa.array([number], pa.timestamp("us")), frame=pa.table)
    with refuses(TimeFormatError, "column 'when' holds moments that no calendar reaches.", column="when"):
        read(pa.array([2**62], pa.timestamp("s")), frame=pa.table)
    assert found(read(pa.array([0], pa.timestamp("s")), frame=pa.table, timezone="UTC")) == ["1970-01-01 00:00:00"]


@pytest.mark.parametrize("text", ["infinity", "-infinity", "4000000-01-01"])
@pytest.mark.parametrize("kind", ["date", "timestamp"])
def test_moments_that_only_an_engine_knows_are_refused(engine, refuses, tmp_path, text, kind):
    import duckdb

    if (text, kind) == ("4000000-01-01", "timestamp"):
        return
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute(f"CREATE TABLE log AS SELECT 'a' AS who, '{text}'::{kind} AS \"when\"")
    with refuses(TimeFormatError, "1 of 1 times in 'when' cannot be read as stated.", "when="):
        EventLog.from_file(
            tmp_path / "a.duckdb", table="log", customer="who", time="when", timezone="UTC", engine=engine
        )


def test_a_placeholder_is_no_end_of_a_window(refuses):
    with refuses(WindowError, "the observation window ends in 9999-12-31.", "silent for centuries"):
        ObservationWindow("2024-01-01", "9999-12-31")


# Item 40: sums that no 64-bit integer holds ------------------------------------------------------------------------------


def test_three_hundred_thousand_customer_years_are_summed_exactly(engine):
    from churnsurv.tables.cells import CellTable
    from churnsurv.tables.periods import PeriodTable

    n, start = 300_000, 1_672_531_200_000_000  # 2023-01-01
    frame = pl.DataFrame({"who": np.arange(n), "when": start + np.arange(n)})
    log = EventLog.from_frame(frame, customer="who", time="when", timezone="UTC", epoch_unit="us", engine=engine)
    window = ObservationWindow("2023-01-01", "2024-01-01")
    spells = SpellTable.from_events(log, window, Silence(("activity",), 90))
    wanted = n * 365 * DAY_US - n * (n - 1) // 2
    assert wanted > 2**63
    assert spells.exposure_us == wanted
    cells = CellTable.from_periods(PeriodTable.from_spells(spells))
    assert cells.total_exposure_us() == wanted
    assert (cells + cells).total_exposure_us() == 2 * wanted


# Item 32: what lies in the future ------------------------------------------------------------------------------------------


def test_events_at_or_after_the_end_are_refused(make_log, refuses):
    log = make_log([("a", "2024-01-05"), ("a", "2024-02-01"), ("b", "2024-02-03 10:30"), ("b", "2024-01-31 23:59:59")])
    with refuses(
        WindowError, "2 of 4 events lie at or after the window's end 2024-02-01.",
        "customer_id=a, kind=order, time=2024-02-01 00:00 UTC", "customer_id=b, kind=order, time=2024-02-03 10:30 UTC",
        "not yet known at the end", 'log.before("2024-02-01")', count=2, total=4, column="time",
    ):  # fmt: skip
        SpellTable.from_events(log, ObservationWindow("2024-01-01", "2024-02-01"), Silence(("order",), 10))


def test_an_event_exactly_at_the_end_is_refused_and_one_a_microsecond_before_is_not(make_log, refuses):
    window = ObservationWindow("2024-01-01", "2024-02-01")
    with refuses(WindowError, "1 of 1 events lie at or after the window's end", count=1):
        SpellTable.from_events(make_log([("a", "2024-02-01")]), window, Silence(("order",), 10))
    last = make_log([("a", "2024-01-31 23:59:59.999999")])
    assert SpellTable.from_events(last, window, Silence(("order",), 10)).exposure_us == 1


def test_before_cuts_strictly_and_on_purpose(make_log):
    log = make_log([("a", "2024-01-05"), ("a", "2024-02-01"), ("a", "2024-01-31 23:59:59")])
    assert log.before("2024-02-01").n_events == 2
    assert log.before(dt.date(2024, 2, 1)).n_events == 2
    assert log.before("2024-02-01T00:00:00.000001").n_events == 3
    assert log.n_events == 3


def test_before_reads_a_date_in_the_zone_of_the_log(make_log):
    log = make_log([("a", "2024-01-05 00:00"), ("a", "2024-01-04 23:59")], timezone="Asia/Tokyo")
    assert log.before("2024-01-05").n_events == 1


def test_before_everything_is_refused(make_log, refuses):
    with refuses(EmptyDataError, "no event is left in the log.", "before(…)"):
        make_log([("a", "2024-01-05")]).before("2024-01-05")


@pytest.mark.parametrize("moment", ["soon", 20240105, None, pd.NaT, np.datetime64("2024-01-05"), "2024-13-01"])
def test_what_is_no_moment_is_refused(make_log, refuses, moment):
    with refuses(ArgumentError, "moment=", "is not a date or a moment.", '"2011-12-10"'):
        make_log([("a", "2024-01-05")]).before(moment)


# The window ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"), [("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01"), ("2024-01-01", dt.date(2023, 1, 1))]
)
def test_a_window_without_length_is_refused(refuses, start, end):
    with refuses(WindowError, f"ends ({end}) at or before its start ({start})", "end after start"):
        ObservationWindow(start, end)


def test_a_window_without_length_in_the_zone_of_the_log_is_refused(refuses):
    window = ObservationWindow("2024-01-01T00:00+00:00", "2024-01-01T05:00")
    assert window.days("UTC") == 5 / 24
    with refuses(WindowError, "at or before its start"):
        window.resolve("Asia/Tokyo")


@pytest.mark.parametrize("value", [None, pd.NaT, 2024, "yesterday", "2024-1-1", "", b"2024-01-01"])
def test_what_is_no_end_of_a_window_is_refused(refuses, value):
    with refuses(ArgumentError, f"end={value!r} is not a date or a moment.", 'write end="2011-12-10"'):
        ObservationWindow("2024-01-01", value)


def test_a_moment_outside_the_calendar_is_refused(refuses):
    with refuses(ArgumentError, "lies outside the calendar"):
        ObservationWindow("0001-01-01", "2024-01-01").resolve("Asia/Tokyo")


def test_dates_moments_and_texts_mean_the_same_window():
    end = dt.datetime(2024, 2, 1, tzinfo=PARIS)
    for given in ("2024-02-01", dt.date(2024, 2, 1), "2024-02-01T00:00", end, pd.Timestamp(end), "2024-01-31T23:00Z"):
        assert ObservationWindow("2024-01-01", given).resolve("Europe/Paris")[1] == 1_706_742_000_000_000


@pytest.mark.parametrize(
    ("moment", "word"), [("2024-03-31T01:30", "does not exist"), ("2024-10-27T01:30", "exists twice")]
)
def test_a_window_edge_that_the_clocks_skip_or_repeat(moment, word):
    with pytest.raises(LocalTimeError, match=word):
        resolve_moment(moment, "Europe/London", "start")
    assert resolve_moment(moment + "+00:00", "Europe/London") == resolve_moment(moment, "UTC")


def test_a_date_begins_at_its_first_moment_where_midnight_is_skipped():
    """Sao Paulo put its clocks forward at midnight of 4 November 2018: the day began at 01:00, 03:00 UTC."""
    assert resolve_moment("2018-11-04", "America/Sao_Paulo") == resolve_moment("2018-11-04T03:00", "UTC")
