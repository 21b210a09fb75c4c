"""Contributions of the terms of a Cox or Weibull fit: linear in the estimates, with bounds in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray, StrArray
from churnsurv.causes.drivers.baselines import Baseline, read_baseline
from churnsurv.causes.drivers.terms import DriverTerms, Told
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.hazards.steps import normal_quantile
from churnsurv.models.base import PatternRows

if TYPE_CHECKING:
    from churnsurv.models.cox_fit import CoxFit
    from churnsurv.models.design import Design
    from churnsurv.models.weibull_fit import WeibullFit

_BLOCK = 65_536
_MEAN = "the mean of the training spells"


@dataclass(frozen=True, eq=False)
class NormalDrivers:
    r"""Terms of a Cox or a Weibull fit.

    With :math:`d` the distance of a customer from the baseline in the columns of a term, the contribution is
    :math:`d^\top \beta` in a Cox model. A Weibull model is fitted in the form of accelerated time, where :math:`\beta`
    moves the log of the scale; on the log hazard that is :math:`-e^{\gamma} d^\top \beta`, with :math:`e^{\gamma}` the shape,
    and its variance is that of the delta method, as in ``fit.hazard_ratios()``.

    Parameters
    ----------
    fit : CoxFit or WeibullFit
        The fit.
    terms : DriverTerms
        Its columns, and the baseline.
    coef : array of shape (n_columns,)
        Estimates.
    covariance : array of shape (n_columns, n_columns)
        Of the estimates, robust where the fit's is.
    drawn : array of shape (n_draws, n_columns)
        Draws of the log hazard ratios of the columns.
    baseline : str
        Whom customers are compared with, in words.
    caveats : tuple of str
        What must be read beside every number.
    log_shape : float or None
        :math:`\gamma`; ``None`` in a Cox model.
    with_shape : array of shape (n_columns + 1,)
        Covariance of each coefficient with it, and its variance; zeros in a Cox model.
    """

    fit: CoxFit | WeibullFit
    terms: DriverTerms
    coef: FloatArray
    covariance: FloatArray
    drawn: FloatArray
    baseline: str
    caveats: tuple[str, ...]
    log_shape: float | None
    with_shape: FloatArray

    scale = "log hazard"
    bounded = True

    @property
    def names(self) -> tuple[str, ...]:
        """Terms."""
        return self.terms.names

    def texts(self, rows: PatternRows) -> StrArray:
        """Level or number of each row in each term, shape (n, n_terms)."""
        return self.terms.texts(rows)

    def told(self, rows: PatternRows, ci_prob: float) -> Told:
        """Contributions of n rows with bounds; NaN for rows without a prediction."""
        good, width = ~self.fit.unseen(rows), normal_quantile(ci_prob)
        difference = self.terms.difference(rows)[good]
        places = [*self.terms.places, np.arange(len(self.coef))]
        value, error = (np.zeros((len(difference), len(places))) for _ in range(2))
        for start in range(0, len(difference), _BLOCK):
            some = slice(start, start + _BLOCK)
            for k, at in enumerate(places):
                value[some, k], error[some, k] = self._part(difference[some][:, at], at)
        return Told(value, value - width * error, value + width * error).spread(good)

    def _part(self, difference: FloatArray, at: IntArray) -> tuple[FloatArray, FloatArray]:
        """Contribution of some columns and its standard error, shape (n,)."""
        value = difference @ self.coef[at]
        variance = np.einsum("ij,jk,ik->i", difference, self.covariance[np.ix_(at, at)], difference)
        if self.log_shape is None:
            return value, np.sqrt(np.maximum(variance, 0.0))
        shape = np.exp(self.log_shape)
        variance = variance + 2.0 * value * (difference @ self.with_shape[at]) + value**2 * self.with_shape[-1]
        return -shape * value, shape * np.sqrt(np.maximum(variance, 0.0))

    def draws(self, rows: PatternRows) -> FloatArray:
        """Contributions by draw of the fit, shape (n_draws, n, n_terms)."""
        unseen = self.fit.unseen(rows)
        difference = self.terms.difference(rows)
        difference[unseen] = np.nan
        parts = [self.drawn[:, at] @ difference[:, at].T for at in self.terms.places]
        return np.stack(parts, axis=-1) if parts else np.zeros((len(self.drawn), len(difference), 0))


def cox_drivers(fit: CoxFit, baseline: Baseline) -> NormalDrivers:
    """Terms of a Cox fit; its average is that of the training spells, by weight, however many rows they were cut into."""
    terms, words = _bound(fit, fit.design, baseline, fit.centre)
    names = [fit.schema.columns[k].name for k in fit.strata.columns]
    strata = f"customers are compared within their stratum ({', '.join(names)}), which is in no term."
    return NormalDrivers(
        fit,
        terms,
        fit.estimate.coef,
        fit.estimate.used,
        fit.draws.coef,
        words,
        (strata,) if names else (),
        None,
        np.zeros(len(fit.estimate.coef) + 1),
    )


def weibull_drivers(fit: WeibullFit, baseline: Baseline) -> NormalDrivers:
    """Terms of a Weibull fit; as :func:`cox_drivers`.

    Raises
    ------
    ModelSupportError
        If the shape has terms: then the ratio of two hazards changes with time.
    """
    if fit.shape_design.terms:
        raise ModelSupportError(
            f"the shape has {len(fit.shape_design.terms)} terms, so that hazards are not proportional.",
            consequence="What a column adds to the log hazard changes with time: one number would be wrong at almost all times.",
            hint='fit without a shape formula: WeibullModel(formula, shape="").',
        )
    terms, words = _bound(fit, fit.design, baseline, None if fit.rows is None else fit.rows.scale.mean)
    cut, used = fit.estimate.n_scale, fit.estimate.used
    return NormalDrivers(
        fit,
        terms,
        fit.estimate.parameters[1:cut],
        used[1:cut, 1:cut],
        -np.exp(fit.draws[:, cut : cut + 1]) * fit.draws[:, 1:cut],
        words,
        (),
        float(fit.estimate.parameters[cut]),
        used[1 : cut + 1, cut],
    )


def _bound(
    fit: CoxFit | WeibullFit, design: Design, baseline: Baseline, mean: FloatArray | None
) -> tuple[DriverTerms, str]:
    """Terms of a design against a baseline."""

    def average() -> FloatArray:
        if mean is None:
            raise mean_unknown("training spells")
        return mean

    named = read_baseline(baseline, fit.schema, design.numbers, design.effects.known)
    reference = named.columns_of(design.effects, average)
    terms = DriverTerms(fit.schema, design.effects, frozenset(design.numbers), reference)
    return terms, named.describe(_MEAN, terms.columns)


def mean_unknown(of: str) -> ArgumentError:
    """Refusal of an average that a loaded fit does not hold."""
    return ArgumentError(
        f"a loaded fit does not hold the mean of its {of}.",
        column="baseline",
        consequence="There is no average customer to compare with.",
        hint="name every column of the formula: baseline={column: level or number, …}; or fit again.",
    )
