"""Fits on months without a sampler: draws by hand, or of the normal at the mode; and customers at a place in the calendar."""

from dataclasses import dataclass, replace

import numpy as np

from churnsurv.models.base import FitInfo
from churnsurv.models.formula import Effects
from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.binding import assemble_structure
from churnsurv.models.hierarchical.counts import Counts, table_info
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.mode import find_mode
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.problem import Terms
from churnsurv.tables.past import History
from churnsurv.tables.schema import CellSchema, PatternColumn
from churnsurv.tables.window import resolve_moment
from tests.models.conftest import CHURN, make_cells


@dataclass(frozen=True, eq=False)
class Rows:
    """Customers who have reached some time on the clock, at a place in the calendar."""

    schema: CellSchema
    reached: np.ndarray
    origin: np.ndarray | None = None
    history: History | None = None

    @property
    def codes(self):
        return np.zeros((len(self.reached), len(self.schema.columns)), np.int64)

    @property
    def customer_id(self):
        return np.arange(len(self.reached)).astype(object)

    def take(self, index):
        return Rows(self.schema, self.reached[index], None if self.origin is None else self.origin[index])


def at(date, timezone="UTC"):
    """Microseconds of a date."""
    return resolve_moment(date, timezone)


def labels_of(first, n):
    """Names of n months from a first one, given as ``12 * year + month - 1``."""
    return tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(first, first + n))


def schema_of(first, n, *, breaks=(0.0, 30.0, 1000.0), timezone="UTC"):
    """Cells of months and nothing else."""
    column = PatternColumn("calendar_month", labels_of(first, n))
    return CellSchema(CHURN, breaks, (column,), timezone=timezone, calendar="month")


def fit_of(schema, first, n, draws, *, seed=7, baseline="piecewise", **parts):
    """A fit whose draws are given: ``log_baseline`` (n_draws, n_periods), ``month``, ``month_sd``, ``season``, …"""
    model = HierarchicalModel(baseline=baseline, calendar=True, **parts)
    structure = assemble_structure(model, schema, Terms.plain(Effects((), {}, {})), {}, (first, first + n - 1))
    count = len(next(iter(draws.values())))
    found = {}
    for name, dims in structure.variables().items():
        size = [len(structure.coords()[dim]) for dim in dims]
        values = np.asarray(draws.get(name, np.zeros((count, *size))), float)
        found[name] = (dims, values.reshape(1, count, *size))
    counts = Counts(np.full(schema.n_periods, 100), np.zeros(0), np.zeros(0), {}, {}, {})
    return HierarchicalFit(
        model=model,
        schema=schema,
        posterior=sampling.posterior_tree(found, structure.coords(), {}),
        info=FitInfo(status="ok", n_draws=count),
        structure=structure,
        priors={},
        counts=counts,
        seed=seed,
    )


def fit_at_mode(model, cells, *, n_draws=400, seed=1):
    """Draws of the normal at the mode of the Laplace-marginal: close enough where data are many, and fast."""
    problem = model.bind(cells)
    mode = find_mode(problem.density, problem.start)
    problem = replace(problem, density=mode.density)
    noise = np.random.default_rng(seed).normal(size=(n_draws, len(mode.position)))
    positions = mode.position + noise @ np.linalg.cholesky(mode.covariance).T
    natural = problem.density.natural(positions[None])
    variables, coords = problem.structure.named(natural)
    mean = type(natural)(*(getattr(natural, name).mean(axis=(0, 1)) for name in ("fixed", "random", "sd", "free")))
    info = replace(table_info(cells, independent=model.frailty is None), n_draws=n_draws)
    return HierarchicalFit.from_problem(
        model, problem, cells.schema, np.full(cells.schema.n_periods, 100),
        sampling.posterior_tree(variables, coords, {}), info, mean=mean, seed=seed,
    )  # fmt: skip


def counted(levels, first, exposure, rng, *, breaks=(0.0, 1000.0)):
    """Cells of one period and months with a known log hazard and days at risk."""
    n = len(levels)
    exposure = np.broadcast_to(np.asarray(exposure, float), n)
    events = rng.poisson(exposure * np.exp(levels))
    columns = (PatternColumn("calendar_month", labels_of(first, n)),)
    cells = make_cells(events, exposure, np.arange(n)[:, None], np.zeros(n, int), columns=columns, breaks=breaks)
    return replace(cells, schema=replace(cells.schema, calendar="month"))
