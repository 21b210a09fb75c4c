"""Which of several fits foretells customers better: leave-one-customer-out by Pareto-smoothed importance sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_count
from churnsurv.errors import ArgumentError, CellMismatchError, DataTypeError, ModelSupportError
from churnsurv.models.hierarchical.cells import IndependentCells, SeparableCells
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.fused import FusedRows
from churnsurv.models.hierarchical.likelihood import Likelihood
from churnsurv.models.hierarchical.rows import ParametricRows
from churnsurv.models.hierarchical.units import UnitLikelihood

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.models.hierarchical.problem import Problem

KHAT_LIMIT: Final = 0.7
"""Pareto k̂ above which leaving a customer out by reweighting is not to be trusted."""
DISTINGUISHABLE: Final = 2.0
"""Standard errors of a difference below which two fits are not distinguishable."""
_MOST_DRAWS: Final = 1000
_MOST_CUSTOMERS: Final = 10_000
_CLOSE: Final = 1e-6


@dataclass(frozen=True, eq=False)
class CustomerScores:
    """How well a fit foretells each customer from all others.

    Parameters
    ----------
    elpd : array of shape (n_customers,)
        Expected log density of each customer's whole history, learnt from the others.
    khat : array of shape (n_customers,)
        Pareto k̂ of each.
    p_loo : array of shape (n_customers,)
        How much each customer's own history moves what is said of her; their sum is the effective number of parameters.
    n_customers : int
        Customers of the data; more than are scored where there are very many.
    note : str
        What must be known of the fit's own draws; empty where there is nothing to say.
    """

    elpd: FloatArray
    khat: FloatArray
    p_loo: FloatArray
    n_customers: int
    note: str = ""

    @property
    def scale(self) -> float:
        """Customers that each scored one stands for."""
        return self.n_customers / len(self.elpd)


def natural_of(fit: HierarchicalFit, draws: IntArray) -> Natural:
    """Draws of a posterior as its likelihood takes them: the inverse of :meth:`Structure.named`.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    draws : array of int
        Positions of draws.

    Returns
    -------
    Natural
        Without correlations, which no likelihood looks at.
    """
    structure, flat, n = fit.structure, fit._flat, len(draws)
    layout = structure.layout
    fixed, random, sd = np.empty((n, layout.n_fixed)), np.empty((n, layout.n_random)), np.empty((n, layout.n_sd))
    for name in layout.fixed:
        values = flat[name][draws]
        fixed[:, layout.place(name)] = values * structure.terms.scale if name == "coef" else values[:, None]
    for piece, some, sds in zip(structure.pieces, layout.random_places, layout.sd_places, strict=True):
        scale = structure.units_of(piece.group)[1] if piece.block.n_terms > 1 else 1.0
        values = (flat[piece.name][draws] * scale).reshape(n, -1)
        random[:, some] = values if piece.basis is None else values @ np.linalg.pinv(piece.basis).T
        sd[:, sds] = (flat[f"{piece.name}_sd"][draws].reshape(n, -1)) * scale
    if layout.frailty:
        sd[:, -1] = flat["frailty_sd"][draws]
    return Natural(fixed, random, sd, np.zeros((n, 0)))


def customer_likelihood(fit: HierarchicalFit, name: str) -> Likelihood:
    """Likelihood of a fit whose units are customers.

    Raises
    ------
    ArgumentError
        If the fit was loaded and holds no data.
    ModelSupportError
        If the data do not say which time at risk is whose, or customers carry weights.
    """
    if fit.problem is None:
        raise ArgumentError(
            f"{name}: a loaded fit holds no data, so no customer can be left out.",
            hint="fit again, and compare before saving.",
        )
    likelihood = fit.problem.density.likelihood
    if isinstance(likelihood, (SeparableCells, IndependentCells)):
        if fit.problem.by_customer is None:
            raise ModelSupportError(
                f"{name}: its cells do not say which time at risk is whose.",
                consequence="Leaving out a cell would leave out a part of many customers and keep the rest of each.",
                hint="CellTable.from_periods(periods, customers=True), and fit on that.",
            )
        return fit.problem.by_customer()
    if _weighted(likelihood):
        raise ModelSupportError(
            f"{name}: its rows carry weights.",
            consequence="A customer of weight 3 would be left out three at a time.",
            hint="compare fits on rows without weights.",
        )
    return likelihood


def _weighted(likelihood: Likelihood) -> bool:
    rows: Any = likelihood.rows if isinstance(likelihood, (FusedRows, UnitLikelihood)) else None
    return isinstance(rows, ParametricRows) and rows.weight is not None


def score_customers(
    fit: HierarchicalFit, name: str = "fit", *, most_customers: int = _MOST_CUSTOMERS, most_draws: int = _MOST_DRAWS
) -> CustomerScores:
    """Leave each customer out by Pareto-smoothed importance sampling [1]_.

    Parameters
    ----------
    fit : HierarchicalFit
        A fit that holds its data.
    name : str
        Of the fit in messages.
    most_customers, most_draws : int
        Of more customers, as many at random are scored; of more draws, as many evenly spaced are used. Memory is 8
        bytes times their product.

    References
    ----------
    .. [1] Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using leave-one-out
       cross-validation and WAIC. *Statistics and Computing* 27, 1413–1432.
    """
    from arviz_stats.base.array import array_stats

    likelihood = customer_likelihood(fit, name)
    kept = np.unique(np.linspace(0, fit.n_draws - 1, min(fit.n_draws, most_draws)).astype(np.int64))
    natural = natural_of(fit, kept)
    values, some, n_customers = np.empty((0, 0)), np.zeros(0, np.int64), 0
    for k in range(len(kept)):
        spread = float(natural.sd[k, -1]) if fit.structure.layout.frailty else None
        each = likelihood.pointwise(natural.fixed[k], natural.random[k], spread)
        if not k:
            n_customers = len(each)
            some = _some(n_customers, most_customers)
            values = np.empty((len(some), len(kept)))
        values[:, k] = each[some]
    share = min(1.0, fit.info.ess_min / len(kept)) if np.isfinite(fit.info.ess_min) else 1.0
    elpd, khat, p_loo = array_stats.loo(values, chain_axis=None, draw_axis=-1, r_eff=share)
    return CustomerScores(np.asarray(elpd), np.asarray(khat), np.asarray(p_loo), n_customers, _note(fit))


def _note(fit: HierarchicalFit) -> str:
    """What must be known of a fit's own draws."""
    notes = [f"approximate draws (Pareto-k̂ {fit.info.pareto_k:.2f})"] if fit.info.method == "laplace" else []
    return "; ".join([*notes, *([] if fit.info.reliable else [f"the fit is {fit.info.status}"])])


def _some(n: int, most: int) -> IntArray:
    """The same customers for every fit of the same data."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(n).choice(n, most, replace=False))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits by how well they foretell customers whom they have not seen.

    Parameters
    ----------
    scores : mapping of str to CustomerScores
        By fit, best first.
    """

    scores: Mapping[str, CustomerScores]

    def frame(self) -> pd.DataFrame:
        """One row per fit, best first.

        Returns
        -------
        DataFrame
            ``name``; ``elpd_loo`` (expected log density of customers left out, higher is better) and its ``se``;
            ``difference`` to the best and its ``difference_se``, from the same customers; ``p_loo``; ``khat_max``,
            ``n_khat`` and ``share_khat`` (customers with k̂ above 0.7); ``weight`` (stacking); ``verdict`` in words.
        """
        import pandas as pd

        best = next(iter(self.scores.values()))
        weights = stacking_weights(np.stack([one.elpd for one in self.scores.values()]))
        rows = []
        for (name, one), weight in zip(self.scores.items(), weights, strict=True):
            gap = one.elpd - best.elpd
            difference, error = one.scale * float(gap.sum()), one.scale * _error(gap)
            high = one.khat > KHAT_LIMIT
            rows.append(
                {
                    "name": name,
                    "elpd_loo": one.scale * float(one.elpd.sum()),
                    "se": one.scale * _error(one.elpd),
                    "difference": difference,
                    "difference_se": error,
                    "p_loo": one.scale * float(one.p_loo.sum()),
                    "khat_max": float(one.khat.max()),
                    "n_khat": int(high.sum()),
                    "share_khat": float(high.mean()),
                    "weight": float(weight),
                    "verdict": _verdict(difference, error, best=one is best, unreliable=int(high.sum())),
                    "note": one.note,
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Say in words which fit foretells better, and whether that can be told."""
        first = next(iter(self.scores.values()))
        told = f"{first.n_customers:,} customers left out one at a time"
        if len(first.elpd) < first.n_customers:
            told += f", {len(first.elpd):,} of them drawn at random"
        table = self.frame()
        lines = [
            f"  {name}: {elpd:,.1f} ({difference:+,.1f} ± {error:,.1f}), {verdict}{f' ({note})' if note else ''}"
            for name, elpd, difference, error, verdict, note in table[
                ["name", "elpd_loo", "difference", "difference_se", "verdict", "note"]
            ].itertuples(index=False)
        ]
        return "\n".join([f"Log density of {told} (difference to the best ± its standard error):", *lines])

    def __str__(self) -> str:
        """:meth:`summary`."""
        return self.summary()


def _error(values: FloatArray) -> float:
    return float(np.sqrt(len(values) * np.var(values, ddof=1))) if len(values) > 1 else float("nan")


def _verdict(difference: float, error: float, *, best: bool, unreliable: int) -> str:
    if best:
        words = "best"
    elif abs(difference) < DISTINGUISHABLE * error or difference == 0.0:
        words = "not distinguishable from the best"
    else:
        words = "worse"
    return f"{words}; {unreliable:,} customers with k̂ > {KHAT_LIMIT:g}: not to be trusted" if unreliable else words


def compare(
    fits: Mapping[str, HierarchicalFit] | Sequence[HierarchicalFit], *, most_customers: int = _MOST_CUSTOMERS
) -> Comparison:
    """Compare fits on the same data by leaving customers out, not rows.

    A customer's gaps are not independent of each other. Left out one by one, the others would tell nearly all about
    each, and a model that knows customers apart would look better than it is on the next customer.

    Parameters
    ----------
    fits : mapping of str to HierarchicalFit, or sequence of HierarchicalFit
        Two fits or more, that still hold their data (not loaded ones), by a name for each; without names they are called
        by what their models are made of, or by their places where that is the same for two.
    most_customers : int
        Of more customers, as many at random are scored, the same ones for all fits; memory is 8 kB for each.

    Returns
    -------
    Comparison
        ``print`` it for words; ``.frame()`` for numbers.

    Raises
    ------
    ArgumentError
        If there is only one fit, or one was loaded.
    DataTypeError
        If one is no fit of a :class:`~churnsurv.models.hierarchical.model.HierarchicalModel`.
    CellMismatchError
        If the fits have not seen the same data.
    ModelSupportError
        If the data do not say which time at risk is whose (``customers=True``), or carry weights.
    """
    check_count(most_customers, "most_customers", minimum=2)
    named = _named(fits)
    for name, fit in named.items():
        customer_likelihood(fit, name)
    _check_same(named)
    scores = {name: score_customers(fit, name, most_customers=most_customers) for name, fit in named.items()}
    return Comparison(dict(sorted(scores.items(), key=lambda item: -float(item[1].elpd.sum()))))


def _named(fits: object) -> dict[str, HierarchicalFit]:
    """Fits by name, two or more."""
    from churnsurv.models.hierarchical.fit import HierarchicalFit

    given: list[Any] = [fits]
    if isinstance(fits, (Mapping, list, tuple)):
        given = list(fits.values() if isinstance(fits, Mapping) else fits)
    names = [str(name) for name in fits] if isinstance(fits, Mapping) else _called(given)
    other = [k for k, fit in enumerate(given) if not isinstance(fit, HierarchicalFit)]
    if other:
        raise DataTypeError(
            f"{len(other)} of {len(given)} fits are none of a HierarchicalModel: {names[other[0]]} is"
            f" {type(given[other[0]]).__name__}.",
            consequence="Only its posterior says how well it foretells a customer whom it was not fitted on.",
            hint='HierarchicalModel(baseline="weibull").fit(table) is a Weibull model that can be compared.',
        )
    if len(given) < 2:
        raise ArgumentError(
            f"compare needs two fits or more, and was given {len(given)}.",
            hint='compare({"plain": one, "frailty": other}), or compare([one, other])',
        )
    return dict(zip(names, given, strict=True))


def _called(fits: Sequence[Any]) -> list[str]:
    """What the models are made of, by place where that does not tell them apart."""
    places = [f"fit {k}" for k in range(1, len(fits) + 1)]
    if not all(hasattr(fit, "model") and hasattr(fit.model, "parts") for fit in fits):
        return places
    names = [f"{fit.model.formula}, {fit.model.parts()}" for fit in fits]
    return names if len(set(names)) == len(names) else places


def _check_same(fits: Mapping[str, HierarchicalFit]) -> None:
    (first, one), *others = fits.items()
    for name, other in others:
        why = _difference(one, other)
        if why:
            raise CellMismatchError(
                f"{first} and {name} {why}.",
                consequence="Log densities of different data cannot be compared.",
                hint="fit both on one table: all models fit on Episodes, the piecewise one too.",
            )


def _difference(one: HierarchicalFit, other: HierarchicalFit) -> str:
    if one.info.fingerprint != other.info.fingerprint or one.info.cause != other.info.cause:
        return "were not made on the same table"
    if one.model.rounded != other.model.rounded:
        return f"take events differently (rounded={one.model.rounded!r} and {other.model.rounded!r})"
    totals = [_totals(fit.problem) for fit in (one, other) if fit.problem is not None]
    if not np.allclose(totals[0], totals[1], rtol=_CLOSE):
        return (
            f"use different parts of the table ({totals[0][0]:,.0f} and {totals[1][0]:,.0f} events: what lies beyond the "
            "last break is in one of them only)"
        )
    return ""


def _totals(problem: Problem) -> tuple[float, float]:
    return float(problem.totals.events.sum()), float(problem.totals.exposure.sum())


def stacking_weights(elpd: FloatArray) -> FloatArray:
    r"""Weights of a mixture of fits that foretells the customers left out best [1]_.

    .. math:: \max_w \sum_i \log \sum_k w_k e^{\mathrm{elpd}_{ki}}, \qquad w_k \ge 0, \; \sum_k w_k = 1

    by the steps of an EM algorithm, each of which raises the sum.

    Parameters
    ----------
    elpd : array of shape (n_fits, n_customers)
        By fit and customer.

    References
    ----------
    .. [1] Yao, Y., Vehtari, A., Simpson, D. and Gelman, A. (2018). Using stacking to average Bayesian predictive
       distributions. *Bayesian Analysis* 13, 917–1007.

    Examples
    --------
    >>> stacking_weights(np.log([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])).round(3)
    array([0.708, 0.292])
    """
    density = np.exp(elpd - elpd.max(axis=0))
    weights = np.full(len(density), 1.0 / len(density))
    for _ in range(2000):
        mixed = weights @ density
        moved = weights * (density / mixed).mean(axis=1)
        if np.max(np.abs(moved - weights)) < 1e-9:
            break
        weights = moved
    return np.asarray(weights / weights.sum())
