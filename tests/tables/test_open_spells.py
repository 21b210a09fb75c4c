"""Who is at risk now: coded like the cells, whatever the size of a batch."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.errors import ArgumentError, DataTypeError, DefinitionError, FeatureError
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import NONE_YET, Count, Mean, Recency, Rhythm, Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.schema import UNSEEN
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

WINDOW = ObservationWindow("2024-01-01", "2024-04-01")
ORDERS = Silence(("order",), 20)
FEATURES = (
    Value("order", "label"), Count("order", days=15), Value("order", "value"), Rhythm("order", days=20),
    Mean("review", "value", days=20), Recency("review", days=20),
)  # fmt: skip


def random_rows(seed=0, n=400, labels=("FR", "DE", None)):
    """Orders and reviews of thirty customers over three months."""
    rng = np.random.default_rng(seed)
    start = 1_704_067_200_000_000
    return [
        (f"{rng.integers(30):03d}", start + int(rng.integers(90 * 86400)) * 10**6, str(rng.choice(["order", "review"])),
         float(np.round(rng.gamma(2, 20), 1)), labels[rng.integers(len(labels))])
        for _ in range(n)
    ]  # fmt: skip


@pytest.fixture
def spells(make_log):
    """Spells of rows."""

    def build(rows, *, churn=ORDERS, window=WINDOW, **settings):
        return SpellTable.from_events(make_log(rows, **settings), window, churn)

    return build


def cells_of(spells, features=FEATURES, **settings):
    """Cells of spells."""
    return CellTable.from_periods(PeriodTable.from_spells(spells, features=features, breaks=[0, 100]), **settings)


def joined(batches):
    """Arrays of all batches, one below the other."""
    parts = list(batches)
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("customer_id", "reached", "codes", "outside", "unknown")
    }
    levels = [np.concatenate(column) for column in zip(*(part.levels for part in parts), strict=True)]
    return arrays, levels


def test_one_row_for_each_customer_at_risk_in_the_order_of_ids(spells):
    rows = [
        ("b", "2024-03-30"),
        ("a", "2024-01-02"),
        ("a", "2024-03-02"),
        ("c", "2024-03-01"),
        ("c", "2024-03-02", "close"),
    ]
    table = spells(rows, churn=Silence(("order",), 20, terminal=("close",)))
    (batch,) = OpenSpells.batches(table, cells_of(table, ()).schema)
    assert batch.customer_id.tolist() == ["a", "b"]
    assert batch.reached.tolist() == [30.0, 2.0]
    assert batch.codes.shape == (2, 0)
    assert len(batch) == 2


@pytest.mark.parametrize("seed", range(5))
def test_codes_are_those_of_the_cells_of_the_same_spells(spells, seed):
    table = spells(random_rows(seed))
    cells = cells_of(table)
    arrays, levels = joined(OpenSpells.batches(table, cells.schema))
    # Cells of the open spells alone: each has its own pattern, so the counts must come out again.
    seen = {tuple(row): 0 for row in cells.codes}
    for row, unknown in zip(arrays["codes"], arrays["unknown"], strict=True):
        if not unknown:
            assert tuple(row) in seen
    frame = PeriodTable.from_spells(table, features=FEATURES, breaks=[0, 1000]).frame()
    last = frame.merge(table.frame().query("open")[["customer_id", "spell"]]).sort_values("customer_id")
    assert last["customer_id"].tolist() == arrays["customer_id"].tolist()
    for k, column in enumerate(cells.schema.columns):
        values = last[column.name]
        if column.edges is None:
            wanted = column.code_levels(values.where(values.notna(), NONE_YET).to_numpy(object))
        else:
            wanted = column.code_values(values.to_numpy(float))
        np.testing.assert_array_equal(arrays["codes"][:, k], wanted)
        named = np.array([*column.labels, NONE_YET], dtype=object)[wanted]
        assert levels[k].tolist() == named.tolist()


def test_the_size_of_a_batch_changes_nothing(spells):
    table = spells(random_rows())
    schema = cells_of(table).schema
    whole, levels = joined(OpenSpells.batches(table, schema))
    for size in (1, 7, 29, 30):
        batches = list(OpenSpells.batches(table, schema, size=size))
        assert all(len(batch) <= size for batch in batches)
        parts, part_levels = joined(batches)
        for name, array in whole.items():
            np.testing.assert_array_equal(parts[name], array)
        for one, other in zip(part_levels, levels, strict=True):
            assert one.tolist() == other.tolist()


def test_some_customers_are_coded_as_among_all(spells):
    table = spells(random_rows())
    schema = cells_of(table).schema
    whole, _ = joined(OpenSpells.batches(table, schema))
    wanted = ["021", "003", "nobody", "it's"]
    some, _ = joined(OpenSpells.batches(table, schema, only=wanted, size=1))
    assert some["customer_id"].tolist() == ["003", "021"]
    places = [whole["customer_id"].tolist().index(name) for name in ("003", "021")]
    for name in ("reached", "codes", "outside", "unknown"):
        np.testing.assert_array_equal(some[name], whole[name][places])
    assert list(OpenSpells.batches(table, schema, only=[])) == []


def test_a_level_that_was_never_seen_keeps_its_own_name(spells):
    schema = cells_of(spells(random_rows(labels=("FR",))), (Value("order", "label"),)).schema
    table = spells(
        [("a", "2024-03-01", "order", 1.0, "XX"), ("b", "2024-03-01", "order", 1.0, "FR"), ("c", "2024-03-01")]
    )
    (batch,) = OpenSpells.batches(table, schema)
    assert batch.codes[:, 0].tolist() == [UNSEEN, 0, UNSEEN]
    assert batch.levels[0].tolist() == ["XX", "FR", NONE_YET]


def test_a_number_not_known_yet_is_unseen_where_the_cells_had_none(spells):
    rows = [("a", "2024-03-01", "order", 1.0), ("b", "2024-03-01", "order", 9.0)]
    schema = cells_of(spells(rows), (Value("order", "value"),), bins={"value_order_value": [0, 5, 10]}).schema
    (batch,) = OpenSpells.batches(spells([("c", "2024-03-01", "order", None)]), schema)
    assert (batch.codes.tolist(), batch.levels[0].tolist(), batch.outside.tolist()) == ([[UNSEEN]], [NONE_YET], [False])


def test_a_number_outside_the_edges_is_flagged_and_goes_to_the_nearest_bin(spells):
    rows = [("a", "2024-03-01", "order", 1.0), ("b", "2024-03-01", "order", 9.0)]
    schema = cells_of(spells(rows), (Value("order", "value"),), bins={"value_order_value": [0, 5, 10]}).schema
    values = [-0.001, 0.0, 5.0, 5.001, 10.0, 10.001]
    table = spells([(f"c{k}", "2024-03-01", "order", value) for k, value in enumerate(values)])
    (batch,) = OpenSpells.batches(table, schema)
    assert batch.codes[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.outside.tolist() == [True, False, False, False, False, True]


def test_a_look_back_before_the_window_is_flagged(spells):
    schema = cells_of(spells([("a", "2024-03-01"), ("b", "2024-03-20")]), (Count("order", days=30),)).schema
    table = spells([("a", "2024-01-30"), ("b", "2024-01-31"), ("c", "2024-02-10")])
    (batch,) = OpenSpells.batches(table, schema)
    assert batch.unknown.tolist() == [True, False, False]


def test_spells_that_follow_another_definition_are_refused(spells, refuses):
    schema = cells_of(spells(random_rows()), ()).schema
    with refuses(DefinitionError, "the fit learnt from the churn definition", "days=20", "days=30", "fit.schema.churn"):
        next(OpenSpells.batches(spells(random_rows(), churn=Silence(("order",), 30)), schema))


def test_spells_of_another_zone_are_refused(spells, refuses):
    schema = cells_of(spells(random_rows()), ()).schema
    window = ObservationWindow("2024-01-01", "2024-04-02")
    with refuses(DefinitionError, "the fit learnt from the time zone UTC, the spells follow Asia/Tokyo."):
        next(OpenSpells.batches(spells(random_rows(), timezone="Asia/Tokyo", window=window), schema))


def test_features_that_move_while_a_customer_is_at_risk_do_not_predict(spells, refuses):
    table = spells(random_rows())
    periods = PeriodTable.from_spells(table, features=[Count("order", days=9)], as_of="period", breaks=[0, 9])
    with refuses(FeatureError, "features of this fit move", "Their future values are not known", 'as_of="spell"'):
        next(OpenSpells.batches(table, CellTable.from_periods(periods).schema))


def test_a_column_of_another_type_than_the_fits_is_refused(spells, refuses):
    table = spells(random_rows())
    swapped = {"values": (), "labels": ("value",)}
    with refuses(FeatureError, "value_order_value was a number for the fit", "'value' in values=", column="value"):
        next(OpenSpells.batches(spells(random_rows(), **swapped), cells_of(table, (Value("order", "value"),)).schema))


@pytest.mark.parametrize(
    ("size", "error"), [(0, ArgumentError), (-1, ArgumentError), (2.5, DataTypeError), (True, DataTypeError)]
)
def test_a_batch_holds_at_least_one_customer(spells, refuses, size, error):
    table = spells(random_rows())
    with refuses(error, "`size`="):
        next(OpenSpells.batches(table, cells_of(table, ()).schema, size=size))
