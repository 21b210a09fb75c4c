"""Drivers of linear fits: what each column adds to each customer's log hazard, exactly, and with what certainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._validate import check_ci_prob, check_count, check_rng
from churnsurv.causes.drivers.baselines import Baseline
from churnsurv.causes.drivers.rows import customer_ids, driver_rows
from churnsurv.causes.drivers.table import Contributions, churn_sign
from churnsurv.causes.drivers.terms import Drivers
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.models.base import PatternRows, check_fitted
from churnsurv.models.competing import CompetingFits

if TYPE_CHECKING:
    import xarray as xr

    from churnsurv.models.base import SurvivalFit

__all__ = ["Contributions", "contribution_draws", "contributions"]


def contributions(
    fit: SurvivalFit,
    customers: Any,
    *,
    baseline: Baseline = "mean",
    ci_prob: float = 0.90,
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> Contributions:
    r"""What each term of a fit adds to each customer's log hazard, against a baseline.

    A term of the formula with the columns :math:`k \in T` of the design adds

    .. math:: c_{iT} = \sum_{k \in T} \beta_k (x_{ik} - \bar x_k)

    to the log hazard of customer i, and the terms add up exactly, in every draw, to the distance of her linear predictor
    from that of the baseline :math:`\bar x` [1]_. For a linear predictor these are the Shapley values of columns that are
    varied independently [2]_.

    Contributions are associations: what goes together with a higher or lower hazard among customers who are alike in
    the other columns. They are not what an intervention on the column would change.

    ===================== =================================================== =====================================
    fit                   mean baseline over                                  bounds
    ===================== =================================================== =====================================
    Cox                   training spells, by weight                          normal, covariance of the fit
    Weibull               training spells, by weight                          normal, delta method
    hierarchical          time at risk learnt from; groups at average level   quantiles of the draws
    linear classifier     person-periods, by weight; at the same period       NaN: it has no uncertainty
    ===================== =================================================== =====================================

    Normal bounds are made of the robust covariance where the fit has one, and are those of ``fit.summary()``. A
    Weibull fit moves the log of time; its terms are told on the log hazard, minus its shape times as much. What a level of a
    random effect adds is one term, ``country (group)``, its slopes included; of a level never seen it has mean 0 and the
    standard deviation of levels. As in ``fit.summary()`` it is told against the average level, whose place is uncertain
    where levels are few: against a level that is named the bounds are those of the difference. Where customers have a
    frailty, what her past says of her is the term ``customer (frailty)``: the mean log of her frailty (of a new group as
    if it were an average one). Of classifiers contributions are to the log odds of the event in a period, which is near the
    log hazard where that is small.

    Cost: one product of rows and columns; of hierarchical fits one quantile of ``n_draws`` for each distinct pattern of each
    term (each customer, with a frailty). Memory: three floats and a text per customer and term, and 32 MB of draws.

    Parameters
    ----------
    fit : CoxFit, WeibullFit, HierarchicalFit or DiscreteHazardFit
        A classifier must be linear in its columns, such as logistic regression.
    customers : SpellTable, OpenSpells, Episodes or PersonPeriods
        Of a table of spells everyone at risk at the window's end, those who have churned already among them. Customers
        without a prediction (see ``fit.unseen``) have NaN in every term.
    baseline : "mean", or mapping of str to level or number
        Whom customers are compared with. Columns that a mapping does not name stay at the mean, groups at their average
        level; an interaction must be named as a whole.
    ci_prob : float
        Probability inside the equal-tailed bounds, in (0, 1).
    n_draws : int
        Posterior draws of a hierarchical fit to use, evenly spaced.
    rng : int or numpy.random.Generator
        Source of the effects of new groups and of frailties.

    Returns
    -------
    Contributions
        ``.frame()`` has a row per customer and term, ``.top(k)`` the strongest, ``.total()`` the sums. On the gap clock the
        event is the return: what lowers its hazard ``raises_churn``.

    Raises
    ------
    ModelSupportError
        If the fit has no terms, a shape formula, or a classifier that is not linear.
    ArgumentError
        If the baseline or the customers have no meaning, or a loaded fit does not hold the mean of what it learnt from.
    EmptyDataError
        If there is nobody.
    CellMismatchError, DefinitionError, FeatureError
        If the customers do not have the columns of the fit, or follow another definition.

    See Also
    --------
    churnsurv.causes.drivers.attributions.attributions : The same for trees, by Shapley values.

    References
    ----------
    .. [1] Therneau, T. M. and Grambsch, P. M. (2000). *Modeling Survival Data*, section 3.2 (linear predictors are those
       against the mean). Springer.
    .. [2] Štrumbelj, E. and Kononenko, I. (2014). Explaining prediction models and individual predictions with feature
       contributions. *Knowledge and Information Systems* 41, eq. 5 (additive models).

    Examples
    --------
    >>> from churnsurv import CoxModel, Episodes, SpellTable
    >>> import pandas as pd
    >>> log = pd.DataFrame({"who": list("abcdefgh"), "days": [30, 40, 50, 60, 70, 80, 90, 99],
    ...                     "gone": [1, 1, 0, 1, 1, 1, 1, 0], "plan": list("slssllsl")})
    >>> spells = SpellTable.from_durations(
    ...     log, duration="days", event="gone", unit="day", customer="who", labels=["plan"])
    >>> fit = CoxModel("plan").fit(Episodes.from_spells(spells))
    >>> told = contributions(fit, spells, baseline={"plan": "l"})
    >>> told.frame()[["customer_id", "term", "value", "hazard_ratio", "raises_churn"]].round(2)
      customer_id  term value  hazard_ratio  raises_churn
    0           c  plan     s          1.51          True
    1           h  plan     l          1.00         False
    """
    prob, draws = check_ci_prob(ci_prob), check_count(n_draws, "n_draws")
    drivers = drivers_of(fit, baseline, n_draws=draws, rng=check_rng(rng))
    told = Contributions.joined([_table(fit, drivers, rows, prob) for rows in driver_rows(fit, customers)])
    lost = int(np.isnan(told.whole).sum())
    if not lost:
        return told
    unknown = f"{lost:,} of {len(told):,} customers have a level that the fit has never seen, or lack a number: nothing is told."
    return replace(told, caveats=(*told.caveats, unknown))


def contribution_draws(
    fit: SurvivalFit,
    customers: Any,
    *,
    baseline: Baseline = "mean",
    n_draws: int = 1000,
    rng: int | np.random.Generator = 0,
) -> xr.DataArray:
    """Contributions draw by draw: whatever else is to be made of them, such as sums over several columns.

    Memory: draws × customers × terms floats.

    Parameters
    ----------
    fit, customers, baseline, n_draws, rng
        As in :func:`contributions`. Cox and Weibull fits give all their draws of the normal approximation, classifiers one.

    Returns
    -------
    DataArray
        Dims ``(draw, customer, term)``.

    Raises
    ------
    ModelSupportError, ArgumentError, EmptyDataError, CellMismatchError, DefinitionError, FeatureError
        As :func:`contributions`.
    """
    import xarray as xr

    drivers = drivers_of(fit, baseline, n_draws=check_count(n_draws, "n_draws"), rng=check_rng(rng))
    batches = list(driver_rows(fit, customers))
    values = np.concatenate([drivers.draws(rows) for rows in batches], axis=1)
    ids = np.concatenate([customer_ids(rows) for rows in batches])
    coords = {"draw": np.arange(len(values)), "customer": ids, "term": np.asarray(drivers.names, dtype=object)}
    return xr.DataArray(values, dims=("draw", "customer", "term"), coords=coords, name="contribution")


def drivers_of(fit: SurvivalFit, baseline: Baseline, *, n_draws: int, rng: np.random.Generator) -> Drivers:
    """A fit as a sum of terms.

    Raises
    ------
    ModelSupportError, ArgumentError
        If it is none, or the baseline has no meaning.
    """
    from churnsurv.causes.drivers.classifiers import classifier_drivers
    from churnsurv.causes.drivers.normals import cox_drivers, weibull_drivers
    from churnsurv.causes.drivers.posteriors import posterior_drivers
    from churnsurv.models.cox_fit import CoxFit
    from churnsurv.models.discrete_fit import DiscreteHazardFit
    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.models.weibull_fit import WeibullFit

    check_one_cause(fit, "contributions")
    found: Drivers
    if isinstance(fit, CoxFit):
        found = cox_drivers(fit, baseline)
    elif isinstance(fit, WeibullFit):
        found = weibull_drivers(fit, baseline)
    elif isinstance(fit, HierarchicalFit):
        found = posterior_drivers(fit, baseline, n_draws, rng)
    elif isinstance(fit, DiscreteHazardFit):
        found = classifier_drivers(fit, baseline)
    else:
        raise ModelSupportError(
            f"{type(fit).__name__} is no sum of terms.",
            hint="contributions are of CoxModel, WeibullModel, HierarchicalModel and DiscreteHazardModel(LogisticRegression())"
            "; of a recalibrated fit take those of the fit beneath it: contributions(fit.fit, customers).",
        )
    if not found.names:
        raise ModelSupportError(
            f"the {type(fit).__name__} has no terms: nothing tells customers apart.",
            hint='write a formula: CoxModel("plan + revenue").',
        )
    return found


def check_one_cause(fit: object, verb: str) -> None:
    """Refuse what is no fit, and fits of several causes at once.

    Raises
    ------
    ArgumentError
        With the call to write.
    """
    check_fitted(fit)
    if isinstance(fit, CompetingFits):
        cause = fit.causes[0]
        raise ArgumentError(
            f"`fit` is of {len(fit.causes)} causes, each with a hazard of its own: {', '.join(fit.causes)}.",
            column="fit",
            consequence="What raises one of them may lower another.",
            hint=f"{verb}(fits.fits[{cause!r}], customers) tells what drives {cause}.",
        )


def _table(fit: SurvivalFit, drivers: Drivers, rows: PatternRows, ci_prob: float) -> Contributions:
    told = drivers.told(rows, ci_prob)
    return Contributions(
        customer_id=customer_ids(rows),
        terms=drivers.names,
        values=drivers.texts(rows),
        contribution=told.value[:, :-1],
        lower=told.lower[:, :-1],
        upper=told.upper[:, :-1],
        whole=told.value[:, -1],
        whole_lower=told.lower[:, -1],
        whole_upper=told.upper[:, -1],
        scale=drivers.scale,
        event=fit.info.cause or fit.schema.causes[0],
        churn_sign=churn_sign(fit.schema, fit.info.cause),
        baseline=drivers.baseline,
        ci_prob=ci_prob if drivers.bounded else float("nan"),
        caveats=(*reliability(fit), *drivers.caveats),
    )


def reliability(fit: SurvivalFit) -> Sequence[str]:
    """What a fit that failed its gate says of itself."""
    return () if fit.info.reliable else (f"the fit did not pass its gate: {' '.join(fit.info.messages)}",)
