"""Compositions on rows: numbers, weights, several spells, covariates that change; and their likelihood by hand.

Nothing here is shared with the library but names. A customer is gone through stretch by stretch, and what each stretch
adds is an integral of her hazard by SciPy's distributions, or period by period.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import Normal
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import CellSchema, PatternColumn
from tests.models.hierarchical.by_hand import (
    Customer,
    Hazards,
    immune_customer,
    mean_by_gamma_functions,
    mean_by_quadrature,
    returning_customer,
)
from tests.models.hierarchical.stretches import GAPS, TENURE

PLAN, COUNTRY = ("basic", "plus"), tuple("ABC")
MONTHS = tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(12 * 2022 + 11, 12 * 2025))
BREAKS = (0.0, 7.0, 20.0, 60.0, 90.0)
EDGES = (-2.0, 0.0, 1.0, 6.0)


@dataclass(frozen=True)
class Row:
    """A stretch ``(start, stop]`` of a spell, in days; how the spell ends stands in its last one."""

    owner: int
    spell: int
    start: float
    stop: float
    event: bool
    plan: int
    country: int
    month: int
    price: float
    weight: float


def histories(*, tenure=False, whole=False, plain=False, weight="none", n=24, seed=5):
    """Rows of customers: on the tenure clock one spell each; some come late, and some gaps outlast the last break.

    ``plain`` ones come from the beginning and end before the last break; ``whole`` times are whole days; a ``weight``
    belongs to a customer, or to a spell.
    """
    rng, rows = np.random.default_rng(seed), []
    for owner in range(n):
        own_weight = float(rng.integers(1, 4))
        n_spells = 1 if tenure or owner < 2 else int(rng.integers(1, 4))
        for spell in range(1, n_spells + 1):
            entry = rng.uniform(1, 25) * (spell == 1 and rng.random() < 0.4)
            length = 100.0 + 30.0 * rng.random() if rng.random() < 0.12 else rng.exponential(25.0) + 1.5
            if plain:
                entry, length = 0.0, min(length, 80.0 + 10.0 * rng.random())
            cuts = np.concatenate([[0.0], np.sort(rng.uniform(0.2, 0.8, rng.integers(0, 3))), [1.0]])
            times = entry + cuts * length
            times = np.unique(np.ceil(times)) if whole else times
            ends = spell < n_spells or rng.random() < (0.6 if tenure else 0.3)
            ends = ends and owner > 1  # the first two are never seen again
            counts = rng.random() < 0.9
            spell_weight = {"none": 1.0, "customer": own_weight, "spell": float(rng.uniform(0.5, 3.0))}[weight]
            for k, (start, stop) in enumerate(itertools.pairwise(times)):
                event = bool(ends and counts and k == len(times) - 2)
                month, plan = int(rng.integers(len(MONTHS))), int(rng.integers(2))
                price = float(np.round(rng.gamma(2.0, 1.0) - 1.5, 2))
                rows.append(Row(owner, spell, start, stop, event, plan, owner % 3, month, price, spell_weight))
    return rows


def episodes(rows, *, tenure=False, calendar=False, weighted=False):
    """The rows as the library's table."""
    price = np.array([row.price for row in rows])
    columns = [
        PatternColumn("plan", PLAN),
        PatternColumn("country", COUNTRY),
        PatternColumn("price", ("low", "middle", "high"), EDGES),
    ]
    codes = [[row.plan, row.country, int(np.digitize(row.price, EDGES[1:-1]))] for row in rows]
    values = [None, None, price]
    if calendar:
        columns.append(PatternColumn("calendar_month", MONTHS))
        codes = [[*code, row.month] for code, row in zip(codes, rows, strict=True)]
        values.append(None)
    churn = TENURE if tenure else GAPS
    return Episodes(
        schema=CellSchema(churn, BREAKS, tuple(columns), calendar="month" if calendar else None),
        customer_id=np.array([f"c{row.owner:03}" for row in rows], dtype=object),
        spell=np.array([row.spell for row in rows]),
        start=np.array([row.start for row in rows]),
        stop=np.array([row.stop for row in rows]),
        event=np.array([int(row.event) for row in rows]),
        codes=np.array(codes, np.int64),
        values=tuple(values),
        weight=np.array([row.weight for row in rows]) if weighted else None,
        n_spells=len({(row.owner, row.spell) for row in rows}),
    )


class NumberHazards(Hazards):
    """Log hazard of rows with a price; effects of numbers, of groups too, are for one standard deviation from the mean.

    Each spell counts once in both, by its weight, however many rows it is cut into.
    """

    def __init__(self, problem, schema, rows):
        self.price = np.array([row.price for row in rows])
        codes = np.array([[row.plan, row.country, 0] + [row.month] * (len(schema.columns) > 3) for row in rows])
        super().__init__(problem, schema, codes, np.zeros(len(rows), int))
        spells = {}
        for k, row in enumerate(rows):
            spells.setdefault((row.owner, row.spell), []).append(k)
        share = np.zeros(len(rows))
        for spell in spells.values():
            share[spell] = rows[spell[0]].weight / len(spell)
        share /= share.sum()
        self.labels, self.share = list(problem.structure.coords()["term"]), share
        self.terms = self.standard(self.labels, self.terms)
        self.scale = self.scale_of(self.labels)
        self.slopes = {name: ["1", *group.terms[1:]] for name, group in problem.structure.groups.items()}
        for name, (position, values) in self.groups.items():
            self.groups[name] = (position, self.standard(self.slopes[name], values.T).T)

    def moments(self, label):
        """Mean and standard deviation of a term with a number in it; 0 and 1 of levels."""
        if "price" not in label.split(":"):
            return 0.0, 1.0
        column = self.indicator(label)
        mean = column @ self.share
        return mean, np.sqrt((column - mean) ** 2 @ self.share)

    def scale_of(self, labels):
        """What one unit of each term counts for."""
        return np.array([self.moments(label)[1] for label in labels])

    def in_own_units(self, named):
        """Effects per unit of a number."""
        found = named | ({"coef": named["coef"] / self.scale} if "coef" in named else {})
        for group, labels in self.slopes.items():
            if len(labels) > 1:
                for name in (f"{group}_effect", f"{group}_effect_sd"):
                    found[name] = named[name] / self.scale_of(labels)
        return found

    def standard(self, labels, columns):
        """Columns of terms, shape (n_terms, n), as effects meet them."""
        moments = [self.moments(label) for label in labels]
        return np.array([(x - mean) / sd for x, (mean, sd) in zip(columns, moments, strict=True)]).reshape(
            columns.shape
        )

    def indicator(self, label):
        """Product of the parts of a term's label, a number where there is no level."""
        return super().indicator(label) * np.where("price" in label.split(":"), self.price, 1.0)


class Histories:
    """Likelihood of rows, customer by customer where they have something of their own, and row by row otherwise.

    Parameters
    ----------
    problem : Problem
        Its structure is looked at for names.
    schema : CellSchema
        Columns, and breaks of a piecewise hazard.
    rows : list of Row
        In the order of owner, spell and start.
    model : HierarchicalModel
        Baseline, and days within which events are known.
    """

    def __init__(self, problem, schema, rows, model):
        self.rows, self.model, self.cured = rows, model, problem.structure.cured
        self.immune, self.rounded = schema.churn.on_tenure, model.rounded or 0.0
        self.piecewise = model.baseline == "piecewise"
        self.hazards = NumberHazards(problem, schema, rows)
        weight, ends = (np.array([getattr(row, name) for row in rows]) for name in ("weight", "stop"))
        events = np.array([row.event for row in rows])
        self.scale = np.exp(np.average(np.log(ends[events]), weights=weight[events]))
        self.spells = {}
        for k, row in enumerate(rows):
            self.spells.setdefault(row.owner, {}).setdefault(row.spell, []).append(k)

    def _set(self, named):
        self.level = self.hazards.log(named | {"walk": np.zeros((1, 1))} if self.piecewise else named)
        if self.piecewise:
            own = np.zeros((len(COUNTRY), len(BREAKS) - 1))
            own = own + named["country_walk"].reshape(own.shape) if "country_walk" in named else own
            self.walk = named["walk"].ravel() + own
            self.level = self.level - self._own_walk_of_first_period(named)
            return
        shape = [np.full(len(self.rows), named[name]) for name in
                 (("log_shape",) if self.model.baseline == "weibull" else ("location", "log_spread"))]  # fmt: skip
        if "country_shape" in named:
            shape[-1] = shape[-1] + named["country_shape"][[row.country for row in self.rows], 0]
        self.law = (
            stats.weibull_min(np.exp(shape[0]), scale=self.scale)
            if self.model.baseline == "weibull"
            else stats.lognorm(np.exp(shape[1]), scale=self.scale * np.exp(shape[0]))
        )

    def _own_walk_of_first_period(self, named):
        """What :class:`Hazards` has added already for period 0, in which it believes all rows to be."""
        if "country_walk" not in named:
            return 0.0
        return named["country_walk"].reshape(len(COUNTRY), -1)[[row.country for row in self.rows], 0]

    def cumulative(self, times):
        """Cumulative hazard of every row's covariates at a time of each."""
        if not self.piecewise:
            return -np.exp(self.level) * self.law.logsf(times)
        days = [np.clip(times, low, high) - low for low, high in itertools.pairwise(BREAKS)]
        own = np.exp(self.walk[[row.country for row in self.rows]])
        return np.exp(self.level) * np.sum(own * np.array(days).T, axis=1)

    def log_hazard(self, times):
        """Log hazard of every row at a time of each; NaN beyond the last break of a piecewise one."""
        if not self.piecewise:
            return self.level + self.law.logpdf(times) - self.law.logsf(times)
        period = np.searchsorted(BREAKS[1:], times, side="left")
        walk = np.column_stack([self.walk, np.full(len(COUNTRY), np.nan)])
        return self.level + walk[[row.country for row in self.rows], period]

    def log_likelihood(self, named, *, quadrature=False):
        """All of it at one set of parameters."""
        self._set(named)
        start, stop = (np.array([getattr(row, name) for row in self.rows]) for name in ("start", "stop"))
        event = np.array([row.event for row in self.rows])
        sure = np.where(event, np.maximum(start, stop - self.rounded), stop)
        ahead = self.cumulative(start)
        parts = {
            "before": ahead,
            "sure": self.cumulative(sure) - ahead,
            "whole": self.cumulative(stop) - ahead,
            "log": self.log_hazard(stop),
        }
        counted = event & np.isfinite(parts["log"])
        if not self.model.needs_customers:
            return self._of_rows(parts, counted)
        theta = named["frailty_sd"] ** 2 if "frailty_sd" in named else None
        share = special.expit(named["cure_logit"]) if self.cured else 0.0
        mean = mean_by_quadrature if quadrature else mean_by_gamma_functions
        return sum(self._of_customer(spells, parts, counted, share, theta, mean) for spells in self.spells.values())

    def _of_rows(self, parts, counted):
        total = 0.0
        for k, row in enumerate(self.rows):
            if counted[k] and self.rounded:
                total += row.weight * np.log(np.exp(-parts["sure"][k]) - np.exp(-parts["whole"][k]))
            else:
                total += row.weight * ((parts["log"][k] if counted[k] else 0.0) - parts["whole"][k])
        return total

    def _of_customer(self, spells, parts, counted, share, theta, mean):
        weight = self.rows[next(iter(spells.values()))[0]].weight
        one, log_hazard = Customer([], [], [], []), 0.0
        for rows in spells.values():
            windows = [k for k in rows if counted[k] and self.rounded]
            one.hazard.append(sum(parts["whole"][k] for k in rows))
            one.before.append(parts["before"][rows[0]])
            one.event.append(int(sum(counted[rows])) - len(windows))
            # An event after the last break is a sign of life, though no density of the model's is its own.
            one.followed.append(rows is not list(spells.values())[-1] or self.rows[rows[-1]].event > one.event[-1])
            log_hazard += sum(parts["log"][k] for k in rows if counted[k] and not self.rounded)
        if self.rounded and any(counted[k] for rows in spells.values() for k in rows):
            chance, entry = self._in_window(one, spells, parts, counted, share)
        else:
            chance, entry = (immune_customer if self.immune else returning_customer)(one, share)
        return weight * (log_hazard + np.log(mean(chance, theta)) - np.log(mean(entry, theta)))

    def _in_window(self, one, spells, parts, counted, share):
        """An event somewhere within the last days of a spell: she was there when they began, and not when they ended."""
        late = sum(one.hazard) + sum(one.before)
        wide = sum(parts["whole"][k] - parts["sure"][k] for rows in spells.values() for k in rows if counted[k])
        share = share if self.immune else 0.0
        entry = [(share, 0, 0.0), (1 - share, 0, sum(one.before))]
        return [(1 - share, 0, late - wide), (share - 1, 0, late)], entry


COUNTRIES = ("country",)
ROWED = {
    "rows, weibull, slopes by a number": (
        HierarchicalModel("plan * price", groups={"country": "1 + price"}, baseline="weibull"),
        {"weight": "spell"},
    ),
    "rows, lognormal, months": (
        HierarchicalModel("price", groups=COUNTRIES, baseline="lognormal", calendar=True), {"calendar": True},
    ),
    "rows, piecewise, shapes": (
        HierarchicalModel("plan + price", groups=COUNTRIES, shape_groups=COUNTRIES), {"weight": "spell"},
    ),
    "rows, piecewise, rounded": (
        HierarchicalModel("plan + price", groups=COUNTRIES, rounded=1.0), {"weight": "spell", "whole": True},
    ),
    "rows, lognormal, rounded": (
        HierarchicalModel("price", baseline="lognormal", rounded=3.0), {"weight": "spell", "tenure": True},
    ),
    "rows, lognormal, frailty": (
        HierarchicalModel("plan + price", groups=COUNTRIES, baseline="lognormal", frailty="gamma"),
        {"weight": "customer"},
    ),
    "rows, weibull, cure": (
        HierarchicalModel("price", groups=COUNTRIES, baseline="weibull", cure=True),
        {"weight": "customer", "plain": True},
    ),
    "rows, weibull, frailty, cure": (
        HierarchicalModel("price", shape_groups=COUNTRIES, baseline="weibull", frailty="gamma", cure=True),
        {"plain": True},
    ),
    "rows, piecewise, frailty, cure": (
        HierarchicalModel("plan + price", frailty="gamma", cure=True, priors={"cure_logit": Normal(-1, 1)}),
        {"weight": "customer", "plain": True},
    ),
    "rows, lognormal, frailty, immune": (
        HierarchicalModel("price", baseline="lognormal", frailty="gamma", cure=True),
        {"tenure": True, "weight": "customer"},
    ),
    "rows, piecewise, rounded, frailty, immune": (
        HierarchicalModel("price", groups=COUNTRIES, rounded=1.0, frailty="gamma", cure=True),
        {"tenure": True, "whole": True, "weight": "customer"},
    ),
}  # fmt: skip
"""Model, and how the histories are made."""


def rows_and_table(settings):
    """Histories and the library's table of them."""
    made = {name: settings[name] for name in ("tenure", "whole", "plain", "weight") if name in settings}
    rows = histories(**made)
    own = {name: settings[name] for name in ("tenure", "calendar") if name in settings}
    return rows, episodes(rows, weighted="weight" in settings, **own)
