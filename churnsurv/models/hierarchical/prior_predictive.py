"""What priors say before the data speak, as curves and as per cent of customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv._validate import check_count, check_rng
from churnsurv.errors import ArgumentError
from churnsurv.models.hierarchical.arguments import read_times
from churnsurv.models.hierarchical.mixing import Past, survival_given
from churnsurv.models.hierarchical.predictor import Predictor
from churnsurv.models.hierarchical.prior_draws import draw_from_priors
from churnsurv.tables.churn import Silence
from churnsurv.tables.schema import UNSEEN, CellSchema

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.models.hierarchical.problem import Problem

REFERENCE: Final = "reference"
RANDOM_GROUP: Final = "random group"
RANDOM_CUSTOMER: Final = "random customer"
HORIZONS: Final = (30.0, 90.0, 365.0)
"""Days within which the event is told."""
CI_PROB: Final = 0.90
_N_TIMES: Final = 40
_MOST_PATTERNS: Final = 200
_WIDE: Final = 0.95


@dataclass(frozen=True, eq=False)
class PriorPredictive:
    """Survival as the priors imply it, by draw.

    Parameters
    ----------
    schema : CellSchema
        Definition and clock.
    times : array of shape (n_times,)
        Days on the clock.
    horizons : array of shape (n_horizons,)
        Days within which the share with the event is told: 30, 90, 365 and the silence that counts as churn, as far as
        the baseline can tell.
    survival : mapping of str to array of shape (n_draws, n_times + n_horizons)
        By pattern: ``"reference"`` (every column at its reference level, numbers at their mean, an average group),
        ``"random group"`` (the same in a group drawn at random), and ``"random customer"`` (a pattern drawn from the
        data, in a group drawn at random). Customers' own rhythms and a cured share are integrated out.
    untold : tuple of float
        Horizons beyond the last break of a piecewise baseline, of which neither prior nor data say anything.
    """

    schema: CellSchema
    times: FloatArray
    horizons: FloatArray
    survival: dict[str, FloatArray]
    untold: tuple[float, ...] = ()

    @property
    def n_draws(self) -> int:
        """Draws from the priors."""
        return len(self.survival[REFERENCE])

    def frame(self) -> pd.DataFrame:
        """Quantiles over draws in per cent.

        Returns
        -------
        DataFrame
            ``pattern``, ``quantity`` (``"survival"``: share without the event by ``days``; ``"event"``: share with it
            within ``days``), ``days``, ``lower``, ``median``, ``upper`` (5, 50 and 95 % of the draws, in per cent),
            ``ci_kind``, ``ci_prob``.
        """
        import pandas as pd

        tail, n, parts = 0.5 * (1.0 - CI_PROB), len(self.times), []
        for pattern, draws in self.survival.items():
            for quantity, days, values in (
                ("survival", self.times, draws[:, :n]),
                ("event", self.horizons, 1.0 - draws[:, n:]),
            ):
                lower, median, upper = 100.0 * np.quantile(values, [tail, 0.5, 1.0 - tail], axis=0)
                part = {"pattern": pattern, "quantity": quantity, "days": days, "lower": lower, "median": median}
                parts.append(pd.DataFrame({**part, "upper": upper}))
        return pd.concat(parts, ignore_index=True).assign(ci_kind="eti", ci_prob=CI_PROB)

    def summary(self) -> str:
        """Say in words what the priors say, one line for each pattern and horizon."""
        churn = self.schema.churn
        event = "have churned" if churn.on_tenure else "have come back"
        lines = [f"Before the data, by {self.n_draws:,} draws from the priors (5 %, 50 % and 95 % of them):"]
        table = self.frame()
        for pattern in self.survival:
            lines.append(f"  {self._words(pattern)}")
            own = table[(table["pattern"] == pattern) & (table["quantity"] == "event")]
            for days, lower, median, upper in own[["days", "lower", "median", "upper"]].to_numpy():
                share = f"{_percent(lower)} – {_percent(median)} – {_percent(upper)}"
                rest = "; all others count as churned" if isinstance(churn, Silence) and days == churn.days else ""
                lines.append(f"    within {days:g} days {share} {event}{rest}")
        lines += [f"  {text}" for text in self._notes()]
        return "\n".join(lines)

    def _words(self, pattern: str) -> str:
        """What a pattern is, without groups or columns where the model has none."""
        groups, columns = RANDOM_GROUP in self.survival, RANDOM_CUSTOMER in self.survival
        if pattern == REFERENCE:
            parts = ["average group"] * groups + ["every column at its reference level"] * columns
            return f"the reference ({', '.join(parts)})" if parts else "everyone (the model knows no columns)"
        if pattern == RANDOM_GROUP:
            return "the same in a group drawn at random"
        return "a customer drawn at random: her pattern from the data" + ", her group at random" * groups

    def _notes(self) -> list[str]:
        notes = []
        wide = [
            days
            for k, days in enumerate(self.horizons)
            if np.diff(np.quantile(self.survival[REFERENCE][:, len(self.times) + k], [0.05, 0.95]))[0] > _WIDE
        ]
        if wide:
            notes.append(
                f"Within {wide[0]:g} days nearly anything is held possible: the data decide, and few data will decide little."
            )
        if self.untold:
            days = ", ".join(f"{d:g}" for d in self.untold)
            notes.append(
                f"Nothing is said of {days} days: the last break of the periods is {self.schema.breaks[-1]:g}."
            )
        return notes

    def __str__(self) -> str:
        """:meth:`summary`."""
        return self.summary()


def _percent(value: float) -> str:
    """A percentage that is not rounded to 0 or 100 unless it is next to them."""
    digits = 1 if value < 10.0 or value > 90.0 else 0
    return f"{value:.{digits}f} %"


def prior_predictive(
    model: HierarchicalModel, problem: Problem, schema: CellSchema, n_draws: int, rng: object, times: object
) -> PriorPredictive:
    """Curves that the priors of a bound model imply; see :meth:`HierarchicalModel.prior_predictive`."""
    n = check_count(n_draws, "n_draws")
    generator = check_rng(rng)
    at = _times(schema, times, piecewise=model.baseline == "piecewise")
    last = schema.breaks[-1] if model.baseline == "piecewise" else np.inf
    wanted = sorted({*HORIZONS, *([schema.churn.days] if isinstance(schema.churn, Silence) else [])})
    horizons = np.array([days for days in wanted if days <= last] or [last])
    natural = draw_from_priors(problem.density, n, generator)
    variables, _ = problem.structure.named(natural)
    predictor = Predictor(
        problem.structure, schema, model.baseline, {name: values for name, (_, values) in variables.items()}
    )
    curves = _Curves(problem, predictor, np.concatenate([at, horizons]), n)
    found = {REFERENCE: curves.of(*curves.reference())}
    if problem.structure.groups:
        found[RANDOM_GROUP] = curves.of(*curves.random_group())
    if len(problem.structure.terms):
        found[RANDOM_CUSTOMER] = curves.of_random_customers(generator)
    untold = tuple(days for days in wanted if days > last)
    return PriorPredictive(schema, at, horizons, found, untold)


def _times(schema: CellSchema, times: object, *, piecewise: bool) -> FloatArray:
    if times is None:
        return np.unique(np.concatenate([np.linspace(schema.breaks[0], schema.breaks[-1], _N_TIMES), schema.breaks]))
    at = read_times(times)
    if piecewise and at.max() > schema.breaks[-1]:
        raise ArgumentError(
            f"times reach {at.max():g} days, the last break of the periods is {schema.breaks[-1]:g}.",
            consequence="A piecewise hazard says nothing beyond it.",
            hint=f"times={[t for t in at.tolist() if t <= schema.breaks[-1]] or [schema.breaks[-1]]}, or a baseline in"
            " continuous time.",
        )
    return at


class _Curves:
    """Survival of patterns from time zero, at draws from the priors."""

    def __init__(self, problem: Problem, predictor: Predictor, times: FloatArray, n_draws: int) -> None:
        self.problem, self.predictor, self.times, self.n_draws = problem, predictor, times, n_draws

    def _typical(self) -> tuple[IntArray, tuple[FloatArray | None, ...]]:
        """One row with every column of the formula at its reference, and the numbers at their mean."""
        totals, effects = self.problem.totals, self.problem.structure.terms.effects
        codes = totals.codes[:1].copy()
        for k, level in effects.references.items():
            codes[0, k] = level
        weight = totals.exposure / totals.exposure.sum()
        means = tuple(None if v is None else np.array([np.nansum(v * weight)]) for v in totals.values)
        return codes, means

    def reference(self) -> tuple[IntArray, tuple[FloatArray | None, ...]]:
        """A pattern in no group: groups at their average."""
        codes, values = self._typical()
        for group in self.problem.structure.groups.values():
            codes[0, list(group.columns)] = UNSEEN
        return codes, values

    def random_group(self) -> tuple[IntArray, tuple[FloatArray | None, ...]]:
        """The reference in one of the groups of the data: before the data, one is like another."""
        codes, values = self._typical()
        where = int(np.argmax(self.problem.totals.exposure))
        for group in self.problem.structure.groups.values():
            codes[0, list(group.columns)] = self.problem.totals.codes[where, list(group.columns)]
        return codes, values

    def of(self, codes: IntArray, values: tuple[FloatArray | None, ...], draws: IntArray | None = None) -> FloatArray:
        """Survival of one pattern, shape (n_draws, n_times)."""
        picked = np.arange(self.n_draws) if draws is None else draws
        until = self.times[None]
        with np.errstate(over="ignore", invalid="ignore"):
            ratio, _ = self.predictor.multipliers(codes, values, picked)
            between = self.predictor.between(codes, np.zeros_like(until), until, picked)
            risk = ratio[:, :, None] * between
        # A hazard of 0 times a ratio of infinity, at time zero.
        risk = np.where(between == 0.0, 0.0, np.minimum(risk, np.finfo(float).max))
        flat, structure = self.predictor.flat, self.problem.structure
        variance = flat["frailty_sd"][picked, None, None] ** 2 if structure.layout.frailty else None
        logit = flat["cure_logit"][picked, None, None] if structure.cured else None
        nothing = np.zeros((len(picked), 1, 1))
        past = Past(nothing, nothing, np.zeros((1, 1)), _yes())
        with np.errstate(over="ignore", under="ignore"):
            return survival_given(past, risk, variance, logit, None)[:, 0]

    def of_random_customers(self, rng: np.random.Generator) -> FloatArray:
        """Survival of patterns drawn from the data by their time at risk, one for each draw."""
        totals = self.problem.totals
        some = rng.choice(
            len(totals.exposure), min(self.n_draws, _MOST_PATTERNS), p=totals.exposure / totals.exposure.sum()
        )
        found = np.empty((self.n_draws, len(self.times)))
        for k, row in enumerate(some):
            draws = np.arange(k, self.n_draws, len(some))
            values = tuple(None if v is None else v[[row]] for v in totals.values)
            found[draws] = self.of(totals.codes[[row]], values, draws)
        return found


def _yes() -> BoolArray:
    return np.ones((1, 1), bool)
