"""Shops whose parameters are drawn from tight priors: one for each composition of the hierarchical model.

Nothing of the model's code is used but the names of its parameters: hazards are looked up by label
(``tests/models/hierarchical/by_hand.py``), and customers live their lives one spell after another.
"""

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import special, stats

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import LKJ, HalfNormal, Normal
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import make_cells
from tests.models.hierarchical.by_hand import FROZEN, Hazards, correlation_matrix, scale_of, values_of
from tests.models.hierarchical.compositions import spells_of
from tests.models.hierarchical.stretches import Stretch, cells_of, exact, schema_of

PLAN, COUNTRY = ("basic", "plus"), tuple("ABCDE")
LEVEL = {
    "intercept": Normal(-3.0, 0.3),
    "coef": Normal(0.0, 0.4),
    "walk_sd": HalfNormal(0.4),
    "country_effect_sd": HalfNormal(0.4),
}
SLOPES = {"country_effect_correlation": LKJ(2.0)}
FRAILTY, CURE = {"frailty_sd": HalfNormal(0.8)}, {"cure_logit": Normal(-1.0, 0.6)}
CENTRE = 20.0
"""Centring time of baselines in continuous time, in days."""
HORIZON = 20.0
"""Days at which the survival of a new country's customer is ranked."""


@dataclass
class Truth:
    """Parameters drawn from the prior: by name, and as vectors in the order of the layout."""

    named: dict = field(default_factory=dict)
    fixed: list = field(default_factory=list)
    random: list = field(default_factory=list)
    sd: list = field(default_factory=list)
    free: list = field(default_factory=list)


def draw_truth(problem, breaks, rng):
    """Draw everything from the priors, by SciPy."""
    layout, priors, truth = problem.structure.layout, problem.priors, Truth()

    def draw(name, size=None):
        return FROZEN[type(priors[name])](priors[name]).rvs(size, random_state=rng)

    for name, size in layout.fixed.items():
        truth.named[name] = draw(name, size) if name == "coef" else draw(name)
        truth.fixed.append(truth.named[name])
    for block in layout.blocks:
        n, q = len(block.scale), len(block.terms)
        group = block.name.removesuffix("_walk")
        levels = len(problem.structure.groups[group].labels) if group in problem.structure.groups else n
        sd = draw(f"{block.name}_sd", q)
        effects = scale_of(block, levels, breaks)[:, None] * rng.normal(size=(n, q))
        if q == 1:
            effects = effects * sd
        else:
            r = draw_correlation(priors[f"{block.name}_correlation"].concentration, rng)
            truth.named[f"{block.name}_correlation"] = np.array([r])
            truth.free.append(np.arctanh([r]))
            effects = effects @ np.linalg.cholesky(np.outer(sd, sd) * correlation_matrix(np.arctanh([r]))[0]).T
        truth.named[block.name] = values_of(block.name, effects.ravel(), levels).reshape(-1, q)
        truth.named[f"{block.name}_sd"] = sd if q > 1 else sd[0]
        truth.random.append(effects.ravel())
        truth.sd.append(sd)
    if layout.frailty:
        truth.named["frailty_sd"] = draw("frailty_sd")
        truth.sd.append(truth.named["frailty_sd"])
    return truth


def draw_correlation(concentration, rng):
    """Of two effects, by rejection: its density goes with (1 - r²) to the power of the concentration less one."""
    while True:
        r = rng.uniform(-1, 1)
        if rng.random() < (1 - r * r) ** (concentration - 1):
            return r


@dataclass(frozen=True, eq=False)
class Shop:
    """A composition and who is watched in it.

    Parameters
    ----------
    model : HierarchicalModel
        With tight priors.
    columns : dict
        Labels by column.
    breaks : tuple of float
        Period edges.
    kind : {"counts", "gaps", "tenures", "durations"}
        Whether cells are counted from exposure alone, or from customers on one of the two clocks; or durations are rows.
    calendar : bool
        Whether the last column is the month.
    """

    model: HierarchicalModel
    columns: dict
    breaks: tuple
    kind: str = "counts"
    calendar: bool = False

    @property
    def schema(self):
        tenure = self.kind in ("tenures", "durations")
        return schema_of(self.columns, self.breaks, tenure=tenure, calendar=self.calendar)

    def bind(self, table):
        """Bind the model; a baseline's centring time stays where it is: a prior that moves with the data has no ranks."""
        problem = self.model.bind(table)
        if self.kind != "durations":
            return problem
        likelihood = problem.density.likelihood
        likelihood = replace(likelihood, rows=replace(likelihood.rows, t0=CENTRE))
        return replace(problem, density=problem.density.with_likelihood(likelihood))

    @cached_property
    def template(self):
        """Problem bound to data of this shape: what the parameters are called."""
        rates = np.full(len(self.breaks) - 1, 0.05)
        return self.bind(self._lived(lambda codes: Waiting(rates, self.breaks), 0.5, 0.3, 0))

    def draw(self, rng):
        """Parameters from the prior, and a table from them."""
        truth = draw_truth(self.template, self.breaks, rng)
        grid = np.stack([axis.ravel() for axis in np.indices([len(c) for c in self.columns.values()])], axis=1)
        n_periods = len(self.breaks) - 1
        codes, period = np.repeat(grid, n_periods, axis=0), np.tile(np.arange(n_periods), len(grid))
        hazards = Hazards(self.template, self.schema, codes, period)
        levels = np.exp(hazards.log(truth.named)).reshape(-1, n_periods)
        if self.kind == "durations":
            of_country = truth.named.get("country_shape", np.zeros((len(COUNTRY), 1)))[grid[:, 1], 0]
            waits = [
                Ageing(self.model.baseline, level[0], truth.named, own)
                for level, own in zip(levels, of_country, strict=True)
            ]
        else:
            waits = [Waiting(level, self.breaks) for level in levels]
        wait = dict(zip(map(tuple, grid), waits, strict=True))
        variance = truth.named.get("frailty_sd", 0.0) ** 2
        share = special.expit(truth.named["cure_logit"]) if "cure_logit" in truth.named else 0.0
        return truth, self._lived(lambda who: wait[tuple(who)], variance, share, rng)

    def _lived(self, wait, variance, share, rng):
        rng = np.random.default_rng(rng)
        if self.kind == "counts":
            return self._counted(wait, rng)
        live = lives if self.kind == "gaps" else contracts
        stretches = []
        for owner in range(40):
            codes = (int(owner % 5 == 0), (owner // 2) % len(COUNTRY))
            frailty = (lambda: rng.gamma(1 / variance, variance)) if variance > 1e-12 else (lambda: 1.0)
            stretches += live(owner, codes, wait(codes), frailty, share, rng)
        if self.kind == "durations":
            unit = self.model.rounded or 0.0
            ends = [s.stop if not (unit and s.event) else unit * np.ceil(s.stop / unit) for s in stretches]
            stretches = [replace(s, stop=end) for s, end in zip(stretches, ends, strict=True)]
            return Episodes.from_spells(spells_of(stretches, PLAN, COUNTRY))
        return cells_of(stretches, self.schema)

    def _counted(self, wait, rng):
        """Poisson counts on the full grid; the first levels have most exposure."""
        columns = tuple(PatternColumn(name, tuple(labels)) for name, labels in self.columns.items())
        sizes = [len(labels) for labels in self.columns.values()]
        grid = np.stack([axis.ravel() for axis in np.indices([*sizes, len(self.breaks) - 1])], axis=1)
        days = np.round(2000.0 / (1 + grid).prod(axis=1) ** 0.7 / np.prod(sizes[2:]) ** 0.5) + 1
        mean = days * np.array([wait(row[:-1]).rates[row[-1]] for row in grid])
        table = make_cells(rng.poisson(mean), days, grid[:, :-1], grid[:, -1], columns=columns, breaks=self.breaks)
        return replace(table, schema=self.schema)


@dataclass
class Waiting:
    """Days until the event at a hazard that is constant in each period; endless if it lies beyond the last break."""

    rates: np.ndarray
    breaks: tuple

    def __call__(self, hazard):
        """Invert the cumulative hazard."""
        for rate, (low, high) in zip(self.rates, itertools.pairwise(self.breaks), strict=True):
            if hazard < rate * (high - low):
                return low + hazard / rate
            hazard -= rate * (high - low)
        return np.inf


@dataclass
class Ageing:
    """Days until the event at a hazard of SciPy's distribution, times a ratio."""

    baseline: str
    ratio: float
    named: dict
    of_country: float

    def __call__(self, hazard):
        return law(self.baseline, self.named, self.of_country).isf(np.exp(-hazard / self.ratio))


def law(baseline, named, of_country=0.0):
    """Distribution of the time to the event at average effects."""
    if baseline == "weibull":
        return stats.weibull_min(np.exp(named["log_shape"] + of_country), scale=CENTRE)
    return stats.lognorm(np.exp(named["log_spread"] + of_country), scale=CENTRE * np.exp(named["location"]))


def lives(owner, codes, wait, frailty, share, rng):
    """Activities of one customer over some days from her first on; after each she may leave for good."""
    z, now, days, found = frailty(), 0.0, 60.0, []
    while True:
        gap = np.inf if rng.random() < share else wait(rng.exponential() / z)
        seen = exact(min(gap, days - now))
        found.append(Stretch(owner, len(found) + 1, codes, 0.0, seen, now + gap < days))
        now += gap
        if now >= days - 1e-3:
            return found


def contracts(owner, codes, wait, frailty, share, rng):
    """A contract that was there at some tenure, and is watched from then on; others were gone and are not in the data."""
    entry = 14.0 * (owner % 3 == 1)
    while True:
        end = np.inf if rng.random() < share else wait(rng.exponential() / frailty())
        if end > entry:
            stop = exact(min(end, entry + 42.0))
            return [Stretch(owner, 1, codes, entry, stop, end <= entry + 42.0)]


def survival_of_new_country(named, breaks, model):
    """Probability that an average customer of a country never seen has no event by the horizon, leading axes kept."""
    width = np.diff(np.minimum(breaks, HORIZON))
    if model.baseline == "piecewise":
        risk = np.sum(np.exp(named["intercept"][..., None] + named["walk"]) * width, axis=-1)
    else:
        risk = -np.exp(named.get("intercept", 0.0)) * law(model.baseline, named).logsf(HORIZON)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    sd = named.get("country_effect_sd", np.zeros_like(risk))
    sd = sd if sd.ndim == risk.ndim else sd[..., 0]
    risk = np.exp(sd[..., None] * nodes) * risk[..., None]
    variance = named["frailty_sd"][..., None] ** 2 if model.frailty else None
    stays = np.exp(-risk) if variance is None else np.exp(-np.log1p(variance * risk) / variance)
    stays = stays @ (weights / weights.sum())
    share = special.expit(named["cure_logit"]) if model.cure else 0.0
    return share + (1 - share) * stays


def _model(formula="plan", **settings):
    groups, own = settings.pop("groups", ("country",)), settings.pop("priors", {})
    absent = ["coef"] * (formula == "1") + ["country_effect_sd"] * (not groups)
    if "baseline" in settings:
        absent += ["intercept", "walk_sd"]
        own = TIMES[settings["baseline"]] | own
    priors = {name: prior for name, prior in LEVEL.items() if name not in absent}
    return HierarchicalModel(formula, groups=groups, priors=priors | own, **settings)


COLUMNS = {"plan": PLAN, "country": COUNTRY}
MONTHS = tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(12 * 2022, 12 * 2022 + 25))
SHORT, LONG = (0.0, 5.0, 10.0, 20.0, 50.0), (0.0, 5.0, 15.0, 30.0, 75.0)
TIMES = {
    "weibull": {"intercept": Normal(-0.3, 0.3), "log_shape": Normal(0.0, 0.2)},
    "lognormal": {"location": Normal(0.3, 0.3), "log_spread": Normal(0.0, 0.2)},
}
SHOPS = {
    "groups": Shop(_model(), COLUMNS, SHORT),
    "slopes": Shop(_model(groups={"country": "1 + plan"}, priors=SLOPES), COLUMNS, SHORT),
    "nested": Shop(
        _model("1", groups=("country", "country:plan"), priors={"country:plan_effect_sd": HalfNormal(0.3)}), COLUMNS, SHORT
    ),
    "shapes": Shop(_model(shape_groups=("country",), priors={"country_walk_sd": HalfNormal(0.3)}), COLUMNS, SHORT),
    "months": Shop(
        _model("1", groups=(), calendar=True, priors={"month_sd": HalfNormal(0.15), "season_sd": HalfNormal(0.3)}),
        {"calendar_month": MONTHS},
        (0.0, 10.0, 30.0),
        calendar=True,
    ),
    "frailty": Shop(_model(frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "gaps"),
    "cure": Shop(_model(cure=True, priors=CURE), COLUMNS, LONG, "gaps"),
    "frailty and cure": Shop(_model(frailty="gamma", cure=True, priors=FRAILTY | CURE), COLUMNS, LONG, "gaps"),
    "frailty, late entry": Shop(_model(frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "tenures"),
    "immune, late entry": Shop(_model(cure=True, priors=CURE), COLUMNS, LONG, "tenures"),
    "frailty and immune, late entry": Shop(
        _model(frailty="gamma", cure=True, priors=FRAILTY | CURE), COLUMNS, LONG, "tenures"
    ),
    "weibull": Shop(
        _model(baseline="weibull", shape_groups=("country",), priors={"country_shape_sd": HalfNormal(0.2)}),
        COLUMNS, LONG, "durations",
    ),
    "weibull, rounded": Shop(_model(baseline="weibull", rounded=7.0), COLUMNS, LONG, "durations"),
    "weibull, frailty": Shop(_model(baseline="weibull", frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "durations"),
    "weibull, immune": Shop(_model(baseline="weibull", cure=True, priors=CURE), COLUMNS, LONG, "durations"),
    "lognormal": Shop(_model(baseline="lognormal"), COLUMNS, LONG, "durations"),
    "lognormal, frailty": Shop(_model(baseline="lognormal", frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "durations"),
    "lognormal, immune": Shop(_model(baseline="lognormal", cure=True, priors=CURE), COLUMNS, LONG, "durations"),
}  # fmt: skip
