"""One small problem for each composition, in coordinates without symmetry, beside the stretches it was counted from."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
from scipy import stats

from churnsurv.models.hierarchical.density import Centring
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import LKJ, Exponential, HalfNormal, Normal, StudentT
from churnsurv.models.hierarchical.vectors import VectorCentring
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import PatternColumn
from churnsurv.tables.spells import SpellTable
from tests.models.conftest import grid_cells, shop_table
from tests.models.hierarchical.by_hand import Contracts, Customers, Hazards, cells_log_likelihood, parameters
from tests.models.hierarchical.row_compositions import ROWED, Histories, rows_and_table
from tests.models.hierarchical.stretches import Stretch, cells_of, exact, schema_of

PLAN, COUNTRY = ("basic", "plus"), tuple("ABC")
BREAKS = (0.0, 7.0, 20.0, 60.0, 90.0)


def gaps(seed=1, n=25):
    """Customers with several gaps each; some gaps last beyond the last break, covariates change within some."""
    rng, found = np.random.default_rng(seed), []
    for owner in range(n):
        country, n_spells = owner % 3, rng.integers(1, 5)
        for spell in range(1, n_spells + 1):
            length, plan = exact(rng.exponential(25.0) + 0.5), int(rng.integers(2))
            ends = spell < n_spells or rng.random() < 0.2
            middle = exact(rng.uniform(0.2, 0.8) * length)
            if rng.random() < 0.3:
                found.append(Stretch(owner, spell, (plan, country), 0.0, middle, False))
                found.append(Stretch(owner, spell, (1 - plan, country), middle, length, ends and rng.random() < 0.9))
            else:
                found.append(Stretch(owner, spell, (plan, country), 0.0, length, ends and rng.random() < 0.9))
    return found


def tenures(seed=2, n=30):
    """Customers with one spell each, half of them watched from some tenure on only."""
    rng, found = np.random.default_rng(seed), []
    for owner in range(n):
        start, length = exact(rng.uniform(1, 50)) * (owner % 2), exact(rng.exponential(25.0) + 0.5)
        codes = (int(rng.integers(2)), owner % 3)
        found.append(Stretch(owner, 1, codes, start, start + length, rng.random() < 0.5))
    return found


def spells_of(stretches, plans=PLAN, countries=COUNTRY):
    """Stretches of one spell each as a table of durations with late entry."""
    frame = {
        "who": [f"{s.owner:03}" for s in stretches],
        "since": [s.start for s in stretches],
        "days": [s.stop for s in stretches],
        "event": [int(s.event) for s in stretches],
        "plan": [plans[s.codes[0]] for s in stretches],
        "country": [countries[s.codes[1]] for s in stretches],
    }
    return SpellTable.from_durations(
        pa.table(frame), duration="days", event="event", unit="day", customer="who", entry="since", labels=["plan", "country"]
    )  # fmt: skip


def months(seed=3):
    """Counts over 26 months from December 2022 on, two plans and two countries."""
    rng = np.random.default_rng(seed)
    labels = tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(12 * 2022 + 11, 12 * 2025 + 1))
    columns = (
        PatternColumn("plan", PLAN),
        PatternColumn("country", ("A", "B")),
        PatternColumn("calendar_month", labels),
    )
    table = grid_cells(
        lambda codes, period: -3.5 - 0.4 * period + 0.02 * codes[:, 2],
        lambda codes, period: 60.0 + 20.0 * (codes[:, 0] == 0) - 10.0 * period,
        rng,
        columns=columns,
        breaks=(0.0, 10.0, 30.0),
    )
    return replace(table, schema=replace(table.schema, calendar="month"))


def nested(seed=4):
    """Shops within regions."""
    columns = (PatternColumn("region", ("north", "south")), PatternColumn("shop", tuple("uvw")))
    return grid_cells(
        lambda codes, period: -3.5 - 0.4 * period + 0.3 * codes[:, 0] - 0.2 * codes[:, 1],
        lambda codes, period: 100.0 + 0.0 * period,
        np.random.default_rng(seed),
        columns=columns,
        breaks=(0.0, 10.0, 30.0),
    )


ODD = {"coef": StudentT(4, 0, 0.7), "country_effect_sd": Exponential(0.3), "walk_sd": HalfNormal(0.8)}
"""Priors of every kind."""
COUNTRIES = ("country",)
COUNTED = {
    "plain": (HierarchicalModel("plan * price", groups=COUNTRIES, priors=ODD), shop_table),
    "two slopes": (HierarchicalModel("plan + price", groups={"country": "1 + price"}), shop_table),
    "three slopes": (
        HierarchicalModel(
            "plan + price", groups={"country": "1 + plan"}, priors={"country_effect_correlation": LKJ(1.5)}
        ),
        shop_table,
    ),
    "nested": (HierarchicalModel(groups=("region", "region:shop")), nested),
    "shapes": (HierarchicalModel("price", groups=COUNTRIES, shape_groups=("country", "plan")), shop_table),
    "months": (HierarchicalModel("plan", groups=COUNTRIES, calendar=True), months),
}
WATCHED = {
    "frailty": (HierarchicalModel("plan", groups=COUNTRIES, frailty="gamma"), gaps),
    "frailty, late": (HierarchicalModel("plan", groups=COUNTRIES, frailty="gamma"), tenures),
    "cure": (HierarchicalModel("plan", groups=COUNTRIES, cure=True), gaps),
    "immune, late": (HierarchicalModel("plan", cure=True, priors={"cure_logit": Normal(-1.0, 0.7)}), tenures),
    "frailty, cure": (HierarchicalModel("plan", groups=COUNTRIES, frailty="gamma", cure=True), gaps),
    "frailty, immune, late": (HierarchicalModel(frailty="gamma", cure=True), tenures),
    "all at once": (
        HierarchicalModel(
            "plan", groups={"country": "1 + plan"}, shape_groups=COUNTRIES, frailty="gamma", cure=True
        ),
        gaps,
    ),
}  # fmt: skip
TIMED = {
    "weibull, late": HierarchicalModel("plan", groups=COUNTRIES, baseline="weibull"),
    "lognormal, shapes, late": HierarchicalModel(
        "plan", groups=COUNTRIES, shape_groups=COUNTRIES, baseline="lognormal"
    ),
    "weibull, frailty, late": HierarchicalModel("plan", groups=COUNTRIES, baseline="weibull", frailty="gamma"),
    "lognormal, immune, late": HierarchicalModel("plan", groups=COUNTRIES, baseline="lognormal", cure=True),
    "weibull, rounded, late": HierarchicalModel("plan", groups=COUNTRIES, baseline="weibull", rounded=7.0),
    "weibull, rounded, frailty, immune": HierarchicalModel(
        "plan", shape_groups=COUNTRIES, baseline="weibull", rounded=7.0, frailty="gamma", cure=True
    ),
}  # fmt: skip
NAMES = (*COUNTED, *WATCHED, *TIMED, *ROWED)


@dataclass(frozen=True, eq=False)
class Case:
    """A problem, where it came from, and its log posterior by hand."""

    name: str
    problem: object
    table: object
    by_hand: object

    def parameters(self, position):
        """What a position means, by hand."""
        return parameters(self.problem, position, self.table.schema.breaks)

    def in_own_units(self, named):
        """Parameters as a posterior has them: effects of numbers are for one unit."""
        return self.by_hand.hazards.in_own_units(named) if isinstance(self.by_hand, Histories) else named

    def log_likelihood(self, named, *, quadrature=False):
        if not isinstance(self.by_hand, Hazards):
            return self.by_hand.log_likelihood(named, quadrature=quadrature)
        return cells_log_likelihood(self.table, self.by_hand.log(named))

    def positions(self, n, seed=0):
        """Positions spread about where the posterior may be."""
        rng, layout = np.random.default_rng(seed), self.problem.density.layout
        spread = np.concatenate(
            [
                np.full(layout.n_fixed, 0.3),
                np.full(layout.n_sd, 0.7),
                np.full(layout.n_free, 0.7),
                np.full(layout.n_random, 0.8),
            ]
        )
        centre = np.zeros(len(spread))
        centre[: layout.n_fixed] = self.problem.start
        return centre + spread * rng.normal(size=(n, len(spread)))


def scrambled(layout, seed=0):
    """Coordinates in which nothing is zero, one or diagonal."""
    rng = np.random.default_rng(seed)
    rotation = np.zeros((layout.n_scalar, layout.n_scalar))
    at = 0
    for block in layout.scalar_blocks:
        rotation[at : at + block.size, at : at + block.size] = orthogonal(block.size, rng)
        at += block.size
    vectors = []
    for block in layout.vector_blocks:
        q = block.n_terms
        root = rng.normal(size=(block.n_levels, q, q))
        vectors.append(VectorCentring(orthogonal(block.n_levels, rng), root @ np.swapaxes(root, 1, 2)))
    return Centring(
        rng.normal(0, 0.2, (layout.n_fixed, layout.n_random)),
        rotation,
        rng.exponential(3.0, layout.n_scalar),
        rng.uniform(0.2, 0.8, layout.n_sd),
        tuple(vectors),
    )


def orthogonal(size, rng):
    return stats.ortho_group.rvs(size, random_state=rng) if size > 1 else -np.eye(1)


def bound(model, table, seed=0):
    """Problem in scrambled coordinates."""
    problem = model.bind(table)
    density = replace(problem.density, centring=scrambled(problem.density.layout, seed))
    return replace(problem, density=density)


def case_of(name):
    """Bind one composition anew."""
    if name in COUNTED:
        model, build = COUNTED[name]
        table = build()
        problem = bound(model, table)
        return Case(name, problem, table, Hazards(problem, table.schema, table.codes, table.period))
    if name in TIMED:
        model, stretches = TIMED[name], tenures()
        episodes = Episodes.from_spells(spells_of(stretches))
        problem = bound(model, episodes)
        return Case(
            name, problem, episodes, Contracts(problem, episodes.schema, stretches, model.baseline, model.rounded)
        )
    if name in ROWED:
        model, settings = ROWED[name]
        rows, episodes = rows_and_table(settings)
        problem = bound(model, episodes)
        return Case(name, problem, episodes, Histories(problem, episodes.schema, rows, model))
    model, build = WATCHED[name]
    stretches = build()
    schema = schema_of({"plan": PLAN, "country": COUNTRY}, BREAKS, tenure=build is tenures)
    table = cells_of(stretches, schema)
    problem = bound(model, table)
    return Case(name, problem, table, Customers(problem, schema, stretches))


cached_case = lru_cache(case_of)
