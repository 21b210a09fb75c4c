"""Contracts and lives of activity by hand and against a walk in plain Python; items 27, 28, 32 and 42 of the catalogue."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churnsurv.errors import (
    ArgumentError,
    DataWarning,
    DefinitionError,
    EmptyDataError,
    HorizonError,
    TimeFormatError,
    UnknownKindError,
    WindowError,
)
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation, Inactivity, Origin, definition_from_json
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, ObservationWindow

JANUARY = ObservationWindow("2024-01-01", "2024-01-31")
ENDS = ("quit", "unpaid")
SIGNUP = Cancellation(ENDS, origin="kind:signup")
QUIT = Cancellation(("quit",), origin="kind:signup")


@pytest.fixture
def contracts(make_log):
    """Spells as tuples: customer, spell, entry, exit, event, open."""

    def build(rows, churn=SIGNUP, window=JANUARY, **named):
        spells = SpellTable.from_events(make_log(rows, **named), window, churn)
        frame = spells.frame()
        assert spells.exposure_us == round((frame["exit"] - frame["entry"]).sum() * DAY_US)
        assert spells.n_events == tuple((frame["event"] == k + 1).sum() for k in range(len(churn.causes)))
        build.faults, build.n_events = [(f.name, f.count) for f in spells.faults], spells.n_events
        return [(r.customer_id, r.spell, r.entry, r.exit, r.event, r.open) for r in frame.itertuples()]

    return build


# A contract ----------------------------------------------------------------------------------------------


def test_a_contract_ends_with_its_cause_or_is_open_at_the_windows_end(contracts):
    rows = [
        ("a", "2024-01-02", "signup"), ("a", "2024-01-05 12:00", "quit"),
        ("b", "2024-01-10", "signup"), ("b", "2024-01-12", "unpaid"),
        ("c", "2024-01-21", "signup"),
    ]  # fmt: skip
    assert contracts(rows) == [
        ("a", 1, 0.0, 3.5, 1, False),
        ("b", 1, 0.0, 2.0, 2, False),
        ("c", 1, 0.0, 10.0, 0, True),
    ]
    assert contracts.n_events == (1, 1)


def test_who_began_before_the_window_enters_late_and_who_had_ended_by_then_is_not_there(contracts):
    rows = [
        ("a", "2023-12-22", "signup"), ("a", "2024-01-05", "quit"),
        ("b", "2023-11-01", "signup"), ("b", "2023-12-31", "quit"),
        ("c", "2023-12-01", "signup"),
    ]  # fmt: skip
    assert contracts(rows, QUIT) == [("a", 1, 10.0, 14.0, 1, False), ("c", 1, 31.0, 61.0, 0, True)]
    assert contracts.faults[-1] == ("contract ended before the window", 1)


def test_a_new_signup_after_the_end_is_a_new_spell_whose_clock_starts_anew(contracts):
    rows = [
        ("a", f"2024-01-{day:02}", kind) for day, kind in ((2, "signup"), (4, "quit"), (11, "signup"), (12, "unpaid"))
    ]
    assert contracts(rows) == [("a", 1, 0.0, 2.0, 1, False), ("a", 2, 0.0, 1.0, 2, False)]


def test_named_kinds_reactivate_and_only_after_an_end(contracts):
    rows = [
        ("a", f"2024-01-{day:02}", kind)
        for day, kind in ((2, "login"), (3, "signup"), (5, "login"), (8, "quit"), (9, "login"))
    ]
    assert contracts([*rows, ("b", "2024-01-03", "unpaid")]) == [("a", 1, 0.0, 5.0, 1, False)]
    assert dict(contracts.faults) == {
        "end without a contract": 1,
        "event outside every contract": 3,
        "customer of unknown beginning": 1,
    }
    again = Cancellation(ENDS, origin="kind:signup", reactivation=("login",))
    assert contracts([*rows, ("b", "2024-01-03", "unpaid")], again) == [
        ("a", 1, 0.0, 5.0, 1, False),
        ("a", 2, 0.0, 22.0, 0, True),
    ]


def test_one_contract_may_end_at_the_moment_the_next_begins(contracts):
    rows = [("a", "2024-01-02", "signup"), ("a", "2024-01-06", "quit"), ("a", "2024-01-06", "signup")]
    assert contracts(rows, QUIT) == [("a", 1, 0.0, 4.0, 1, False), ("a", 2, 0.0, 25.0, 0, True)]


def test_a_contract_without_length_is_said_aloud(contracts):
    rows = [("a", "2024-01-02", "signup"), ("a", "2024-01-02", "quit"), ("b", "2024-01-02", "signup")]
    with pytest.warns(DataWarning, match="1 of 2 contracts end at the very moment they begin"):
        assert contracts(rows, QUIT) == [("b", 1, 0.0, 29.0, 0, True)]


def test_repeated_beginnings_and_ends_are_counted(contracts):
    rows = [
        ("a", f"2024-01-{day:02}", kind) for day, kind in ((2, "signup"), (3, "signup"), (8, "quit"), (9, "unpaid"))
    ]
    assert contracts(rows) == [("a", 1, 0.0, 6.0, 1, False)]
    assert dict(contracts.faults) == {
        "end without a contract": 1, "beginning inside a contract": 1, "event outside every contract": 1,
    }  # fmt: skip


# Where tenure begins -------------------------------------------------------------------------------------------

VISITS = [
    ("a", "2024-01-03", "login"),
    ("a", "2024-01-20", "quit"),
    ("b", "2024-01-12", "login"),
    ("c", "2024-01-15", "unpaid"),
]


def test_the_first_event_is_the_beginning_only_if_it_is_said_to_be(contracts):
    with pytest.warns(DataWarning, match="end at the very moment"):  # c is known by nothing but its end
        assert contracts(VISITS, Cancellation(ENDS, origin="first")) == [
            ("a", 1, 0.0, 17.0, 1, False),
            ("b", 1, 0.0, 19.0, 0, True),
        ]


def test_a_burn_in_leaves_out_whoever_was_there_from_the_start(contracts):
    with pytest.warns(DataWarning, match="end at the very moment"):
        assert contracts(VISITS, Cancellation(ENDS, origin="burn-in:5")) == [("b", 1, 0.0, 19.0, 0, True)]
    assert contracts.faults[0] == ("customer of unknown beginning", 1)


def test_a_column_says_when_the_contract_began(contracts, refuses):
    rows = [
        ("a", "2024-01-05", "login", None, "2023-12-31"), ("a", "2024-01-20", "quit", None, "2023-12-31"),
        ("a", "2024-01-25", "login", None, "2024-01-24"), ("b", "2024-01-12", "login", None, None),
    ]  # fmt: skip
    churn = Cancellation(ENDS[:1], origin="column")
    assert contracts(rows, churn, labels=(), origin="label") == [
        ("a", 1, 1.0, 20.0, 1, False),
        ("a", 2, 0.0, 7.0, 0, True),
    ]
    assert contracts.faults[0] == ("customer of unknown beginning", 1)
    with refuses(DefinitionError, "the log holds no column of origins"):
        contracts(rows, churn)
    with refuses(TimeFormatError, "1 of 1 origins in 'label' lie after the event"):
        contracts([("a", "2024-01-05", "quit", None, "2024-01-06")], churn, labels=(), origin="label")
    with refuses(TimeFormatError, "1 of 1 origins in 'label' cannot be read"):
        contracts([("a", "2024-01-05", "quit", None, "yesterday")], churn, labels=(), origin="label")


def test_first_events_that_crowd_at_the_start_are_no_beginnings(make_log):
    year = ObservationWindow("2024-01-01", "2024-12-31")
    rows = [(f"c{k}", f"2024-01-{1 + k % 28:02}", "login") for k in range(60)]
    rows += [(f"d{k}", f"2024-{2 + k % 11:02}-10", "login") for k in range(22)] + [("d1", "2024-12-11", "quit")]
    with pytest.warns(DataWarning, match="60 of 82 customers have their first event in the first 30 days"):
        SpellTable.from_events(make_log(rows), year, Cancellation(("quit",), origin="first"))
    SpellTable.from_events(make_log(rows), year, Cancellation(("quit",), origin="burn-in:60"))  # warns of nothing


def test_a_burn_in_shorter_than_usual_pauses_is_told(contracts):
    rows = [(f"c{k}", f"2024-01-{day}", kind) for k in range(40) for day, kind in (("10", "login"), ("25", "login"))]
    rows += [("a", "2024-01-09", "login"), ("a", "2024-01-11", "quit"), ("a", "2024-01-12", "unpaid")]
    with pytest.warns(
        DataWarning, match="40 of 42 pauses between a customer's events are longer than the burn-in of 5 days"
    ):
        contracts(rows, Cancellation(ENDS, origin="burn-in:5"))


# Against a walk in plain Python ---------------------------------------------------------------------------------

_START = 19_723 * DAY_US  # 2024-01-01
_END = _START + 30 * DAY_US


def walk(moments, *, again):
    """Contracts of one customer: (origin, end or None, cause)."""
    found, opened, ended_before = [], None, False
    for time, group in itertools.groupby(sorted(moments), key=lambda pair: pair[0]):
        kinds = {kind for _, kind in group}
        ends = [k for k, kind in enumerate(ENDS, 1) if kind in kinds]
        opens = "signup" in kinds or (again and "login" in kinds and ended_before)
        if ends and opened is not None:
            found.append((opened, time, ends[0]))
            opened = time if opens else None
        elif opens and not ends and opened is None:
            opened = time
        ended_before = ended_before or bool(ends)
    return [*found, *([(opened, None, 0)] if opened is not None else [])]


_MOMENT = st.tuples(
    st.integers(-10, 29).map(lambda day: _START + day * DAY_US), st.sampled_from(["signup", "login", *ENDS])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=st.lists(st.lists(_MOMENT, max_size=9), min_size=1, max_size=4), again=st.booleans())
def test_contracts_are_what_a_walk_along_each_life_finds(make_log, lives, again):
    rows = [(f"c{who}", time, kind) for who, life in enumerate(lives) for time, kind in life]
    # kinds that the definition names must occur; this customer's contract is one day long
    rows += [("z", _START + k * DAY_US, kind) for k, kind in enumerate(("signup", "quit", "login", "unpaid"))]
    churn = Cancellation(ENDS, origin="kind:signup", reactivation=("login",) if again else ())
    wanted = []
    for who in sorted({row[0] for row in rows}):
        spans = [s for s in walk([r[1:] for r in rows if r[0] == who], again=again) if (s[1] or _END) > _START]
        wanted += [
            (who, k, max(_START - a, 0) / DAY_US, ((b or _END) - a) / DAY_US, cause, b is None)
            for k, (a, b, cause) in enumerate(spans, 1)
        ]
    with pytest.warns(DataWarning) if _no_length(rows, again) else contextlib.nullcontext():
        frame = SpellTable.from_events(make_log(rows), JANUARY, churn).frame()
    assert [(r.customer_id, r.spell, r.entry, r.exit, r.event, r.open) for r in frame.itertuples()] == wanted


def _no_length(rows, again):
    """Whether some contract begins and ends at one moment."""
    for who in {row[0] for row in rows}:
        opened, ended = None, False
        for _, group in itertools.groupby(sorted(r[1:] for r in rows if r[0] == who), key=lambda pair: pair[0]):
            kinds = {kind for _, kind in group}
            ends = bool(kinds & set(ENDS))
            opens = "signup" in kinds or (again and "login" in kinds and ended)
            if opens and ends and not opened:
                return True
            opened = opens if ends else (opened or opens)
            ended = ended or ends
    return False


# Inactivity -------------------------------------------------------------------------------------------------


def test_inactivity_is_dated_when_it_becomes_known_and_undecided_ones_are_censored_at_the_end(contracts):
    churn = Inactivity(7, ("order",), origin="first")
    rows = [("a", "2024-01-02"), ("a", "2024-01-06"), ("a", "2024-01-20"), ("b", "2024-01-26"), ("c", "2024-01-24")]
    assert contracts(rows, churn) == [
        ("a", 1, 0.0, 11.0, 1, False),
        ("a", 2, 0.0, 7.0, 1, False),
        ("b", 1, 0.0, 5.0, 0, True),
        ("c", 1, 0.0, 7.0, 1, False),
    ]


def test_inactivity_counts_from_the_signup_where_there_is_one(contracts):
    churn = Inactivity(7, ("order",), origin="kind:signup")
    rows = [
        ("a", "2023-12-01", "signup"), ("a", "2024-01-02"), ("b", "2024-01-05", "signup"), ("b", "2024-01-06"),
        ("c", "2024-01-07", "signup"), ("d", "2024-01-09"),
        ("e", "2023-12-01", "signup"), ("e", "2024-01-10"), ("f", "2023-12-01", "signup"), ("f", "2024-01-01"),
    ]  # fmt: skip
    assert contracts(rows, churn) == [
        (
            "a",
            1,
            38.0,
            39.0,
            1,
            False,
        ),  # known to be alive on the 8th only: seven days into the log, and active in them
        ("b", 1, 0.0, 8.0, 1, False),
        ("c", 1, 0.0, 7.0, 1, False),
        ("e", 1, 0.0, 7.0, 1, False),  # silent for seven days by then: begins anew
    ]  # f is over at the very moment it could have entered
    assert contracts.faults[-1] == ("customer of unknown beginning", 1)


def test_inactivity_predicts_nothing_and_says_what_does(refuses):
    with refuses(DefinitionError, "Inactivity(7) has no risk within 30 days", "Silence(kinds=('order',), days=7)"):
        Inactivity(7, ("order",), origin="first").check_horizon(30)


# Definitions that cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cancellation((), origin="first"),
        lambda: Cancellation("quit", origin="first"),
        lambda: Cancellation(("quit", "quit"), origin="first"),
        lambda: Cancellation(("quit",), origin="kind:quit"),
        lambda: Cancellation(("quit",), origin="birth"),
        lambda: Cancellation(("quit",), origin="burn-in:-3"),
        lambda: Cancellation(("quit",), origin="kind:"),
        lambda: Cancellation(("quit",), origin=None),
        lambda: Cancellation(("quit",), origin="first", reactivation=("quit",)),
        lambda: Inactivity(0, ("order",), origin="first"),
        lambda: Inactivity(True, ("order",), origin="first"),
        lambda: Inactivity(9, (), origin="first"),
        lambda: Inactivity(9, ("order",), origin="stated"),
        lambda: Inactivity(9, ("order",), origin="first", merge="week"),
        lambda: definition_from_json({"type": "Silence"}),
        lambda: definition_from_json({"type": "Whim", "days": 3}),
    ],
)
def test_definitions_without_meaning_are_refused(make):
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize(
    "churn",
    [Silence(("order",), 90, terminal=("close",)), SIGNUP, Inactivity(30, ("order",), origin="burn-in:60", merge=None)],
)
def test_a_definition_comes_back_from_its_manifest(churn):
    assert definition_from_json(churn.to_json()) == churn


def test_unknown_kinds_unknown_origins_and_horizons_behind_are_refused(contracts, refuses):
    rows = [("a", "2024-01-02", "signup"), ("a", "2024-01-04", "quit"), ("b", "2024-01-04", "unpaid")]
    with refuses(UnknownKindError, "no event of kind 'left'"):
        contracts(rows, Cancellation(("left",), origin="kind:signup"))
    with refuses(UnknownKindError, "no event of kind 'joined'"):
        contracts(rows, Cancellation(("quit",), origin="kind:joined"))
    with refuses(DefinitionError, "belongs to durations"):
        contracts(rows, Cancellation(("quit",), origin="stated"))
    with refuses(EmptyDataError, "no signup lies in the window"):
        contracts([("a", "2023-01-02", "signup"), ("a", "2023-01-04", "quit"), ("b", "2024-01-04", "unpaid")])
    with refuses(WindowError, "no event lies in the window 2024-01-01 to 2024-01-31; the log's last is of 2023-01-04"):
        contracts([("a", "2023-01-02", "signup"), ("a", "2023-01-04", "quit"), ("b", "2023-01-04", "unpaid")])
    with refuses(HorizonError, "a horizon of 0 days is not ahead"):
        SIGNUP.check_horizon(0)
    assert Origin.read("burn-in:30").days == 30
