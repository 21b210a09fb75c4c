"""Rows made by hand: what a row model learns from and predicts for, without a log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from churnsurv.tables.churn import Silence
from churnsurv.tables.schema import CellSchema, PatternColumn

CHURN = Silence(("order",), 90)


@dataclass(frozen=True, eq=False)
class Episodes:
    """Looks like the table of that name; the support check knows tables by their class's name."""

    schema: CellSchema
    customer_id: np.ndarray
    spell: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    event: np.ndarray
    codes: np.ndarray
    values: tuple
    weight: np.ndarray | None = None
    n_spells: int = 0
    cause: str | None = None
    binned: frozenset = field(default_factory=frozenset)
    unallocated: tuple = ()

    def take(self, index):
        return replace(
            self,
            customer_id=self.customer_id[index], spell=self.spell[index], start=self.start[index],
            stop=self.stop[index], event=self.event[index], codes=self.codes[index],
            values=tuple(None if v is None else v[index] for v in self.values),
            weight=None if self.weight is None else self.weight[index],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Open:
    """Open spells."""

    schema: CellSchema
    codes: np.ndarray
    values: tuple
    reached: np.ndarray

    @property
    def customer_id(self):
        return np.array([f"c{i}" for i in range(len(self.codes))], dtype=object)

    @property
    def levels(self):
        return tuple(
            np.array([*column.labels, "?"], dtype=object)[self.codes[:, k]]
            for k, column in enumerate(self.schema.columns)
        )


def episodes(
    stop,
    event,
    columns=None,
    *,
    start=None,
    weight=None,
    customer=None,
    spell=None,
    bins=None,
    churn=CHURN,
    breaks=None,
):
    """Rows from plain arrays; texts are columns of objects, numbers of floats; ``bins`` are edges by column."""
    stop = np.asarray(stop, float)
    n = len(stop)
    bins = bins or {}
    made, codes, values = [], [], []
    for name, given in (columns or {}).items():
        raw = np.asarray(given)
        if raw.dtype.kind in "OU":
            labels = tuple(dict.fromkeys(raw.tolist()))
            column = PatternColumn(name, tuple(sorted(labels)))
            codes.append(column.code_levels(raw))
            values.append(None)
        else:
            number = raw.astype(float)
            known = number[~np.isnan(number)]
            edges = tuple(map(float, bins.get(name, np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1])))))
            edges = edges if len(edges) > 1 else (edges[0], float(np.nextafter(edges[0], np.inf)))
            labels = tuple(f"bin{k}" for k in range(len(edges) - 1)) + (("none yet",) if np.isnan(number).any() else ())
            column = PatternColumn(name, labels, edges)
            codes.append(column.code_values(number))
            values.append(number)
        made.append(column)
    customer = np.array([f"c{i}" for i in range(n)], dtype=object) if customer is None else np.asarray(customer, object)
    spell = np.zeros(n, np.int64) if spell is None else np.asarray(spell, np.int64)
    return Episodes(
        schema=CellSchema(churn, tuple(breaks or (0.0, float(stop.max()))), tuple(made)),
        customer_id=customer,
        spell=spell,
        start=np.zeros(n) if start is None else np.asarray(start, float),
        stop=stop,
        event=np.asarray(event, np.int64),
        codes=np.column_stack(codes).astype(np.int64) if codes else np.zeros((n, 0), np.int64),
        values=tuple(values),
        weight=None if weight is None else np.asarray(weight, float),
        n_spells=len(set(zip(customer.tolist(), spell.tolist(), strict=True))),
        binned=frozenset(bins),
    )  # fmt: skip


def open_rows(table, reached, index=None):
    """Some of the training rows as open spells, at the times they have reached."""
    index = np.arange(len(table.codes)) if index is None else np.asarray(index)
    return Open(
        table.schema,
        table.codes[index],
        tuple(None if v is None else v[index] for v in table.values),
        np.broadcast_to(np.asarray(reached, float), (len(index),)).copy(),
    )
