"""Shops on rows: several spells of a customer, a price of each spell, and a plan that changes on the way."""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special

from tests.models.hierarchical.row_compositions import BREAKS, Row, episodes
from tests.models.hierarchical.row_compositions import NumberHazards as RowHazards
from tests.recovery.sbc_lives import Ageing, Waiting, lives
from tests.recovery.sbc_shops import Shop, draw_truth

N_COUNTRIES = 3


def _codes(owner):
    return int(owner % 5 == 0), owner // 2 % N_COUNTRIES


def _prices(n):
    return np.round(np.random.default_rng(0).gamma(2.0, 1.0, n) - 1.5, 2)


SPELLS, WATCHED, CHANGE = 3, 45.0, 15.0
"""Spells of each customer, days for which each is watched, and day on which some change their plan."""
PLANNED = [
    Row(owner, spell, start, stop, False, int(plus != (owner % 6 == 1 and start > 0)), country, 0, price, 1.0)
    for (owner, spell), price in zip(itertools.product(range(40), range(1, SPELLS + 1)), _prices(40 * SPELLS), strict=True)
    for plus, country in [_codes(owner)]
    for start, stop in ([(0.0, CHANGE), (CHANGE, WATCHED)] if owner % 6 == 1 else [(0.0, WATCHED)])
]  # fmt: skip
"""Rows of the design: who would be at risk when, were there no events. Prices do not depend on what happens."""


@dataclass(frozen=True, eq=False)
class RowShop(Shop):
    """Customers whose spells are rows.

    Parameters
    ----------
    model, columns, breaks, calendar
        As of :class:`Shop`; columns and breaks are those of the rows.
    kind : {"planned", "lived"}
        Whether spells follow a design, with prices and changes, or each begins where the last ended.
    """

    columns: dict | None = None
    breaks: tuple = BREAKS
    kind: str = "planned"

    @cached_property
    def template(self):
        """Problem bound to data of this shape: what the parameters are called."""
        return self.bind(self._table([Waiting(np.full(len(BREAKS) - 1, 0.05), BREAKS)] * len(PLANNED), 0.5, 0.3, 0))

    def draw(self, rng):
        """Parameters from the prior, and a table from them."""
        truth = draw_truth(self.template, self.breaks, rng)
        hazards = RowHazards(self.template, episodes(PLANNED).schema, PLANNED)
        named, piecewise = truth.named, self.model.baseline == "piecewise"
        levels = hazards.log(named | {"walk": np.zeros((1, 1))} if piecewise else named)
        if piecewise:
            waits = [Waiting(np.exp(level + named["walk"].ravel()), BREAKS) for level in levels]
        else:
            waits = [Ageing(self.model.baseline, np.exp(level), named, 0.0) for level in levels]
        variance = named.get("frailty_sd", 0.0) ** 2
        share = special.expit(named["cure_logit"]) if "cure_logit" in named else 0.0
        return replace(truth, named=hazards.in_own_units(named)), self._table(waits, variance, share, rng)

    def _table(self, waits, variance, share, rng):
        rng = np.random.default_rng(rng)
        live = planned if self.kind == "planned" else lived
        rows = []
        for owner, own in itertools.groupby(zip(PLANNED, waits, strict=True), lambda one: one[0].owner):
            frailty = rng.gamma(1 / variance, variance) if variance > 1e-12 else 1.0
            rows += live(owner, list(own), frailty, share, rng)
        return episodes(rows)


def planned(owner, own, frailty, share, rng):
    """Each spell of the design until its event: hazard is used up row by row."""
    for _, spell in itertools.groupby(own, lambda one: one[0].spell):
        left = rng.exponential() / frailty
        for row, wait in spell:
            before = wait.hazard(row.start)
            end = wait(before + left)
            left -= wait.hazard(row.stop) - before
            yield replace(row, stop=min(end, row.stop), event=bool(end <= row.stop))
            if end <= row.stop:
                break


def lived(owner, own, frailty, share, rng):
    """One spell after another, by the first row's covariates, until she leaves for good."""
    row, wait = own[0]
    for one in lives(owner, (row.plan, row.country), wait, lambda: frailty, share, rng):
        yield replace(row, spell=one.spell, stop=one.stop, event=one.event)
