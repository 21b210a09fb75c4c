"""Cells and customers counted from stretches of spells in plain Python: the tables' own counting is in DuckDB."""

import itertools
from dataclasses import dataclass

import numpy as np

from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.customers import CustomerCells
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.window import DAY_US

GAPS = Silence(("order",), 90)
TENURE = Cancellation(("quit",), origin="stated")


@dataclass(frozen=True)
class Stretch:
    """A stretch ``(start, stop]`` of a spell over which covariates stand still.

    Times are days on the spell's clock. ``last`` tells whether it is of the customer's last spell.
    """

    owner: int
    spell: int
    codes: tuple[int, ...]
    start: float
    stop: float
    event: bool

    def pieces(self, breaks):
        """(period, days at risk, whether the event is in it) for each period that it meets."""
        found = []
        for j, (low, high) in enumerate(itertools.pairwise(breaks)):
            days = min(self.stop, high) - max(self.start, low)
            if days > 0:
                found.append((j, days, self.event and low < self.stop <= high))
        return found

    def before(self, breaks):
        """(period, days) that had passed on the clock when the stretch began."""
        return [
            (j, min(self.start, high) - low)
            for j, (low, high) in enumerate(itertools.pairwise(breaks))
            if low < self.start
        ]


def exact(days):
    """Days in whole microseconds, as tables hold them."""
    return round(days * DAY_US) / DAY_US


def schema_of(columns, breaks, *, tenure=False, calendar=False):
    return CellSchema(
        TENURE if tenure else GAPS,
        tuple(float(edge) for edge in breaks),
        tuple(PatternColumn(name, tuple(labels)) for name, labels in columns.items()),
        calendar="month" if calendar else None,
    )


def cells_of(stretches, schema, *, customers=True):
    """Count stretches, which stand in the order of owner, spell and start."""
    sums: dict[tuple, list] = {}
    own: dict[tuple, list] = {}
    latest = {s.owner: s.spell for s in stretches}
    for s in stretches:
        for period, days, event in s.pieces(schema.breaks):
            cell = sums.setdefault((s.codes, period), [0, 0])
            cell[0] += round(days * DAY_US)
            cell[1] += event
            entry = own.setdefault((s.owner, (s.codes, period)), [0.0, 0.0, 0])
            entry[0] += days
            entry[1] += days * (s.spell == latest[s.owner])
            entry[2] += event
    keys = sorted(sums)
    place = {key: k for k, key in enumerate(keys)}
    whole = np.array([sums[key][0] for key in keys])
    n = len(keys)
    return CellTable(
        schema=schema,
        codes=np.array([key[0] for key in keys], np.int64).reshape(n, len(schema.columns)),
        period=np.array([key[1] for key in keys], np.int64),
        n_spells=np.zeros(n, np.int64),
        n_at_stop=np.full(n, 40, np.int64),
        n_events=np.array([[sums[key][1]] for key in keys], np.int64),
        exposure_days=whole // DAY_US,
        exposure_rest=whole % DAY_US,
        customers=_customers(stretches, schema, own, place) if customers else None,
    )


def _customers(stretches, schema, own, place):
    """Entries by customer; whoever is in no cell is left out."""
    breaks, ids = schema.breaks, sorted({owner for owner, _ in own})
    spells: dict[int, dict[int, list]] = {}
    for s in stretches:
        spells.setdefault(s.owner, {}).setdefault(s.spell, []).append(s)
    entries = sorted((ids.index(owner), place[key], value) for (owner, key), value in own.items())
    before, n_followed, latest_event = [], [], []
    for u, owner in enumerate(ids):
        in_cells = {k: [s for s in parts if s.pieces(breaks)] for k, parts in spells[owner].items()}
        last = max(spells[owner])
        n_followed.append(sum(bool(parts) for k, parts in in_cells.items() if k < last))
        latest_event.append(int(any(s.event for s in spells[owner][last])) if in_cells[last] else -1)
        for parts in in_cells.values():
            if parts:
                before += [(u, parts[0].codes, period, days) for period, days in parts[0].before(breaks)]
    return CustomerCells(
        indptr=_pointers([u for u, _, _ in entries], len(ids)),
        cell=np.array([cell for _, cell, _ in entries], np.int32),
        exposure=np.array([value[0] for _, _, value in entries]),
        latest=np.array([value[1] for _, _, value in entries]),
        events=np.array([[value[2]] for _, _, value in entries], np.int32),
        n_followed=np.array(n_followed, np.int64),
        latest_event=np.array(latest_event, np.int64),
        before_indptr=_pointers([row[0] for row in before], len(ids)),
        before_codes=np.array([row[1] for row in before], np.int64).reshape(len(before), len(schema.columns)),
        before_period=np.array([row[2] for row in before], np.int64),
        before_exposure=np.array([row[3] for row in before], float),
    )


def _pointers(owners, n):
    return np.concatenate([[0], np.cumsum(np.bincount(np.array(owners, int), minlength=n))]).astype(np.int64)
