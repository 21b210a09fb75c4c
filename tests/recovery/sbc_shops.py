"""Shops whose parameters are drawn from priors, and whose customers live by them.

Nothing of the model's code is used but the names of its parameters: hazards are looked up by label
(``tests/models/hierarchical/by_hand.py``), and customers live their lives one spell after another.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import special

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import PatternColumn
from tests.models.conftest import make_cells
from tests.models.hierarchical.by_hand import FROZEN, Hazards, correlation_matrix, scale_of, values_of
from tests.models.hierarchical.compositions import spells_of
from tests.models.hierarchical.stretches import cells_of, schema_of
from tests.recovery.sbc_lives import CENTRE, Ageing, Waiting, contracts, lives

PLAN, COUNTRY = ("basic", "plus"), tuple("ABCDE")


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
        if self.model.baseline == "piecewise":
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
