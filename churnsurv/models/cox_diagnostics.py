"""Does a Cox model hold? Residuals of the training rows, and the test of proportional hazards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError
from churnsurv.hazards.cox_residuals import (
    deviance_residuals,
    dfbeta,
    martingale_residuals,
    schoenfeld_residuals,
    score_residuals,
)
from churnsurv.hazards.cox_rows import arrange_covariates
from churnsurv.hazards.proportional_hazards import Transform, proportional_hazards_score_test

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.cox_fit import CoxFit
    from churnsurv.models.cox_rows import TrainingRows

_BY_ROW = ("martingale", "deviance", "score", "dfbeta")
_BY_EVENT = ("schoenfeld", "scaled_schoenfeld")
TRANSFORMS = ("km", "identity", "rank", "log")


def residuals(fit: CoxFit, kind: str, *, collapse: bool = False) -> pd.DataFrame:
    """Residuals of the training rows.

    Parameters
    ----------
    fit : CoxFit
        A fit that still has its rows.
    kind : {"martingale", "deviance", "score", "dfbeta", "schoenfeld", "scaled_schoenfeld"}
        ``martingale``: events beyond those expected. ``deviance``: the same on a symmetric scale. ``score``: the
        row's share of the score. ``dfbeta``: change of the coefficients without the row, by its weight.
        ``schoenfeld``: covariates of who has the event, from their mean among those at risk; ``scaled_schoenfeld``: a
        rough coefficient at that time.
    collapse : bool
        Sum over a customer's rows; for residuals by row, and not for ``deviance``, which is made anew of the sum.

    Returns
    -------
    DataFrame
        ``customer_id``, ``spell``, ``start``, ``stop``, ``event`` in the order of the training rows and one column
        ``martingale`` or ``deviance``, or one a term. By event: ``customer_id``, ``spell``, ``time`` instead, by stratum
        and time. Collapsed: indexed by ``customer_id``.

    Raises
    ------
    ArgumentError
        For an unknown kind, or a fit that was loaded.

    References
    ----------
    .. [1] Therneau, T. M. and Grambsch, P. M. (2000). *Modeling Survival Data*, ch. 4, 5 and 7.
    """
    check_choice(kind, "kind", (*_BY_ROW, *_BY_EVENT))
    if kind in _BY_EVENT:
        if collapse:
            raise ArgumentError(
                f"{kind} residuals belong to events.", hint='collapse those of kind "score" or "dfbeta".'
            )
        return _by_event(fit, kind)
    rows = fit.training
    if collapse:
        return _collapsed(fit, kind)
    return _identity(rows).assign(**_named(fit, kind, _by_row(fit, kind)))


def _identity(rows: TrainingRows) -> pd.DataFrame:
    import pandas as pd

    names = ("customer_id", "spell", "start", "stop", "event")
    return pd.DataFrame({name: getattr(rows, name) for name in names})


def _named(fit: CoxFit, kind: str, values: FloatArray) -> dict[str, FloatArray]:
    return {kind: values} if values.ndim == 1 else dict(zip(fit.design.terms, values.T, strict=True))


def _by_row(fit: CoxFit, kind: str) -> FloatArray:
    rows, coef, ties = fit.training, fit.estimate.coef, fit.model.ties
    ordered = rows.ordered()
    if kind in ("martingale", "deviance"):
        martingale = martingale_residuals(ordered, rows.x, coef, ties=ties)
        return martingale if kind == "martingale" else deviance_residuals(ordered, martingale)
    score = score_residuals(ordered, rows.x, coef, ties=ties, weighted=kind == "dfbeta")
    return score if kind == "score" else dfbeta(score, fit.estimate.covariance)


def _collapsed(fit: CoxFit, kind: str) -> pd.DataFrame:
    import pandas as pd

    rows = fit.training
    values = _by_row(fit, "martingale" if kind == "deviance" else kind)
    columns = values[:, None] if values.ndim == 1 else values
    summed = np.zeros((int(rows.cluster.max()) + 1, columns.shape[1]))
    for k, column in enumerate(columns.T):
        summed[:, k] = np.bincount(rows.cluster, weights=column)
    if kind == "deviance":
        summed = _deviance(summed[:, 0], np.bincount(rows.cluster, weights=rows.event))[:, None]
    first = np.unique(rows.cluster, return_index=True)[1]
    index = pd.Index(rows.customer_id[first], name="customer_id")
    return pd.DataFrame(summed, index=index, columns=list(_named(fit, kind, values)))


def _deviance(martingale: FloatArray, events: FloatArray) -> FloatArray:
    expected = np.where(events > 0, events - martingale, 1.0)
    inside = martingale + events * np.log(np.where(events > 0, expected / np.maximum(events, 1.0), 1.0))
    return np.asarray(np.sign(martingale) * np.sqrt(np.maximum(-2.0 * inside, 0.0)))


def _by_event(fit: CoxFit, kind: str) -> pd.DataFrame:
    import pandas as pd

    rows, estimate = fit.training, fit.estimate
    found = schoenfeld_residuals(rows.ordered(), rows.x, estimate.coef, ties=fit.model.ties)
    scaled = kind == "scaled_schoenfeld"
    values = found.scaled(estimate.coef, estimate.covariance) if scaled else found.residuals
    who = {"customer_id": rows.customer_id[found.row], "spell": rows.spell[found.row], "time": found.time}
    return pd.DataFrame({**who, **dict(zip(fit.design.terms, values.T, strict=True))})


def proportional_hazards_test(fit: CoxFit, transform: str = "km") -> pd.DataFrame:
    """Score test of effects that move with a function of time.

    Parameters
    ----------
    fit : CoxFit
        A fit that still has its rows.
    transform : {"km", "identity", "rank", "log"}
        The function: one minus Kaplan–Meier, time itself, its rank, its logarithm.

    Returns
    -------
    DataFrame
        By term and for all together (``GLOBAL``): ``statistic`` (chi-square), ``degrees_of_freedom``, ``p``. Small: the
        effect is not the same early and late; make the column a stratum, or let it interact with time through periods.

    Raises
    ------
    ArgumentError
        For an unknown transform, a fit without terms or one that was loaded.

    References
    ----------
    .. [1] Grambsch, P. M. and Therneau, T. M. (1994). Proportional hazards tests and diagnostics based on weighted
       residuals. *Biometrika* 81, 515–526.
    .. [2] Therneau, T. M. *survival* (R package, version 3.8), ``cox.zph``: the score test, without the approximation
       of equal variances that lifelines uses.
    """
    import pandas as pd

    check_choice(transform, "transform", TRANSFORMS)
    rows = fit.training
    if not fit.design.terms:
        raise ArgumentError("the model has no terms to test.", hint='CoxModel("plan")')
    ordered = rows.ordered()
    scale = fit.model.penalizer * (1.0 - fit.model.l1_ratio) * rows.spell_weight * rows.scale**2
    name: Transform = transform  # type: ignore[assignment]  # checked above
    found = proportional_hazards_score_test(
        ordered,
        arrange_covariates(ordered, rows.x),
        fit.estimate.coef,
        transform=name,
        ties=fit.model.ties,
        penalizer=scale,
    )
    return pd.DataFrame(
        {
            "statistic": np.append(found.statistic, found.global_statistic),
            "degrees_of_freedom": np.append(found.degrees_of_freedom, int(found.degrees_of_freedom.sum())),
            "p": np.append(found.p_value, found.global_p_value),
        },
        index=pd.Index([*fit.design.terms, "GLOBAL"], name="term"),
    )
