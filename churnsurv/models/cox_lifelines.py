"""lifelines' Cox fitter with the compiled kernel in place of its own loops.

lifelines picks the function that computes gradients by name; the subclasses here answer to these names. Importing this
module imports lifelines, which takes seconds the first time: nothing in the library imports it before it is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceWarning, StatisticalWarning
from lifelines.fitters.coxph_fitter import SemiParametricPHFitter

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError
from churnsurv.hazards import cox_residuals as own
from churnsurv.hazards.cox_baseline import baseline
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates, order_rows
from churnsurv.hazards.partial_likelihood import CoxOptimum, log_partial_likelihood
from churnsurv.hazards.steps import value_at
from churnsurv.models.cox_rows import TrainingRows

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.models.cox import CoxModel
    from churnsurv.models.cox_fit import CoxFit

_Gradients = tuple[FloatArray, FloatArray, float]


class KernelSemiParametricPHFitter(SemiParametricPHFitter):  # type: ignore[misc]  # lifelines has no types
    """What a :class:`KernelCoxPHFitter` holds inside, as lifelines' ``CoxPHFitter`` holds its semiparametric one."""

    def _newton_raphson_for_efron_model(
        self,
        x: pd.DataFrame,
        stop: pd.Series,
        event: pd.Series,
        weights: pd.Series,
        entries: pd.Series | None,
        **settings: Any,
    ) -> tuple[FloatArray, float, FloatArray]:
        """Sort once for all steps; then lifelines' own Newton."""
        rows = self._rows(x, stop, event, weights, entries)
        self._sorted: tuple[CoxRows, CoxCovariates] | None = rows, arrange_covariates(rows, x.to_numpy(float))
        self._ll_null_ = log_partial_likelihood(*self._sorted, np.zeros(x.shape[1]), order=0)[0]
        try:
            found: tuple[FloatArray, float, FloatArray] = super()._newton_raphson_for_efron_model(
                x, stop, event, weights, entries, **settings
            )
        finally:
            self._sorted = None  # as large as the data
        return found

    def _choose_gradient_calculator(self, stop: Any, x: Any, entries: Any) -> Callable[..., _Gradients]:
        return self._get_efron_values_batch

    def _get_efron_values_batch(
        self, x: Any, stop: Any, event: Any, weights: Any, entries: Any, beta: FloatArray
    ) -> _Gradients:
        assert self._sorted is not None  # noqa: S101 - set for as long as Newton runs
        loglik, score, information = log_partial_likelihood(*self._sorted, beta)
        return -information, score, loglik

    _get_efron_values_single = _get_efron_values_batch

    def _partition_by_strata_and_apply(
        self, x: Any, stop: Any, event: Any, entries: Any, weights: Any, function: Callable[..., Any], *args: Any
    ) -> Iterator[Any]:
        """One call: the kernel knows the strata."""
        yield function(x, stop, event, weights, entries, *args)

    def _rows(self, x: pd.DataFrame, stop: pd.Series, event: pd.Series, weights: pd.Series, entries: Any) -> CoxRows:
        start = None if entries is None else np.asarray(entries, float)
        return order_rows(start, stop.to_numpy(float), event, strata=self._stratum(x), weight=weights.to_numpy(float))

    def _stratum(self, x: pd.DataFrame) -> IntArray | None:
        """Stratum of each row: lifelines keeps it in the index."""
        return None if self.strata is None else np.asarray(x.index.factorize(sort=True)[0], np.int64)

    def _compute_baseline_hazards(self, predicted_partial_hazards_: pd.DataFrame) -> pd.DataFrame:
        """Efron's steps, with those at risk who had entered; lifelines has Breslow's, with everybody."""
        import pandas as pd

        frame = predicted_partial_hazards_
        rows = self._rows(frame, frame["T"], frame["E"], frame["W"], self.entries)
        risk = np.log(frame["P"].to_numpy(float))[:, None]
        names = list(frame.index.factorize(sort=True)[1]) if self.strata is not None else ["baseline hazard"]
        times = np.unique(frame["T"].to_numpy(float))
        curves = [
            np.diff(value_at(one.times, np.cumsum(one.increments), times, before=0.0), prepend=0.0)
            for one in baseline(rows, risk, np.ones(1))
        ]
        return pd.DataFrame(dict(zip(names, curves, strict=True)), index=times)

    def _compute_sandwich_estimator(self, x: pd.DataFrame, stop: Any, event: Any, weights: Any) -> FloatArray:
        """Right with ties and delayed entry."""
        rows = self._rows(x, stop, event, weights, self.entries)
        raw = x.to_numpy(float) * self._norm_std.to_numpy()
        score = own.score_residuals(rows, raw, self.params_.to_numpy(), weighted=True)
        return own.clustered_covariance(score, self.variance_matrix_.to_numpy(float), self._clusters)

    def compute_residuals(self, training_dataframe: pd.DataFrame, kind: str) -> pd.DataFrame:
        """Residuals in lifelines' frames, also for rows that enter late."""
        import pandas as pd

        x, stop, event, weights, entries, index, _ = self._preprocess_dataframe(training_dataframe)
        rows, raw, coef = self._rows(x, stop, event, weights, entries), x.to_numpy(float), self.params_.to_numpy()
        if kind in ("martingale", "deviance"):
            values = own.martingale_residuals(rows, raw, coef)
            values = values if kind == "martingale" else own.deviance_residuals(rows, values)
            return pd.DataFrame(
                {self.duration_col: stop.to_numpy(), self.event_col: event.to_numpy(), kind: values}, index=index
            )
        covariance = self.variance_matrix_.to_numpy(float)
        if kind in ("score", "delta_beta"):
            score = own.score_residuals(rows, raw, coef, weighted=True)
            found = score if kind == "score" else own.dfbeta(score, covariance)
            return pd.DataFrame(found, columns=self.params_.index, index=index)
        events = own.schoenfeld_residuals(rows, raw, coef)
        found = events.residuals if kind == "schoenfeld" else events.scaled(np.zeros(len(coef)), covariance)
        order = np.argsort(events.row, kind="stable")
        return pd.DataFrame(found[order], columns=self.params_.index, index=index[events.row[order]])


class KernelCoxPHFitter(CoxPHFitter):  # type: ignore[misc]  # lifelines has no types
    """lifelines' ``CoxPHFitter`` on a compiled partial likelihood: the same calls, the same coefficients.

    What is different: sums over risk sets, sandwich errors and residuals are compiled and right with ties and with rows
    that enter late; the baseline takes Efron's steps, with only those at risk who had entered.

    Examples
    --------
    >>> from lifelines.datasets import load_rossi
    >>> fitter = KernelCoxPHFitter().fit(load_rossi(), "week", "arrest")
    >>> float(fitter.params_["prio"].round(4))
    0.0915
    """

    def _fit_model_breslow(self, *args: Any, **kwargs: Any) -> KernelSemiParametricPHFitter:
        settings = {"penalizer": self.penalizer, "l1_ratio": self.l1_ratio, "strata": self.strata}
        model = KernelSemiParametricPHFitter(**settings, alpha=self.alpha, label=self._label)
        model.fit(*args, **kwargs)
        return model

    def compute_residuals(self, training_dataframe: pd.DataFrame, kind: str) -> pd.DataFrame:
        """Residuals in lifelines' frames; see lifelines."""
        found: pd.DataFrame = self._model.compute_residuals(training_dataframe, kind)
        return found


def elastic_net(model: CoxModel, rows: TrainingRows, ordered: CoxRows, arranged: CoxCovariates) -> CoxOptimum:
    """Maximum with a penalty on absolute values: lifelines' Newton on its smoothed penalty.

    Parameters
    ----------
    model : CoxModel
        With ``penalizer`` and ``l1_ratio``.
    rows : TrainingRows
        Training rows.
    ordered : CoxRows
        The same, sorted.
    arranged : CoxCovariates
        Their covariates.

    Returns
    -------
    CoxOptimum
        Coefficients in the units of the rows.
    """
    import pandas as pd

    # lifelines multiplies the penalty with the number of rows
    per_row = model.penalizer * rows.spell_weight / len(rows)
    fitter = KernelSemiParametricPHFitter(penalizer=per_row, l1_ratio=model.l1_ratio, strata=["stratum"])
    index = pd.Index(rows.stratum, name="stratum")
    columns = (rows.stop, rows.event, np.ones(len(rows)) if rows.weight is None else rows.weight, rows.start)
    series = [pd.Series(values, index=index) for values in columns]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        found, _, hessian = fitter._newton_raphson_for_efron_model(
            pd.DataFrame(rows.x / rows.scale, index=index), *series, show_progress=False
        )
    coef, curvature = found / rows.scale, -np.diag(hessian) * rows.scale**2
    loglik, _, information = log_partial_likelihood(ordered, arranged, coef)
    null = log_partial_likelihood(ordered, arranged, np.zeros_like(coef), order=0)[0]
    return CoxOptimum(
        coef=coef,
        loglik=loglik,
        loglik_null=null,
        information=information,
        penalizer=curvature - np.diag(information),
        iterations=0,
        converged=not caught,
        monotone=np.zeros(len(coef), bool),
    )


def _free(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name = f"{name}_"
    return name


def training_frame(fit: CoxFit) -> pd.DataFrame:
    """Training rows as lifelines is given them.

    Parameters
    ----------
    fit : CoxFit
        A fit that still has its rows.

    Returns
    -------
    DataFrame
        A column a term; ``stop`` and ``event``; ``start`` where some row enters late, ``weight``, ``stratum`` and
        ``customer`` (numbers) where the fit uses them. A name that a term has already gets a ``_``.
    """
    import pandas as pd

    rows, terms = fit.training, fit.design.terms
    used: dict[str, Any] = {"stop": rows.stop, "event": rows.event.astype(np.int64)}
    used |= {"start": rows.start} if rows.start.any() else {}
    used |= {} if rows.weight is None else {"weight": rows.weight}
    used |= {"stratum": np.asarray(rows.strata, dtype=object)[rows.stratum]} if fit.strata.columns else {}
    used |= {} if fit.estimate.robust is None else {"customer": rows.cluster}
    x = pd.DataFrame(rows.x + fit.centre, columns=list(terms))
    return x.assign(**{_free(name, terms): values for name, values in used.items()})


def as_lifelines(fit: CoxFit) -> KernelCoxPHFitter:
    """Fit lifelines' object on the same rows, started at the estimate.

    Parameters
    ----------
    fit : CoxFit
        A fit that still has its rows, with Efron's ties.

    Returns
    -------
    KernelCoxPHFitter
        With lifelines' summaries, tests, predictions and plots.

    Raises
    ------
    ArgumentError
        For a fit that was loaded, one with Breslow's ties, or one without terms.
    """
    if fit.model.ties != "efron" or not fit.design.terms:
        lacks = "ties other than Efron's" if fit.model.ties != "efron" else "models without columns"
        raise ArgumentError(f"lifelines' Cox fitter does not know {lacks}.", hint="fit.baseline and fit.summary() do.")
    frame, terms = training_frame(fit), fit.design.terms
    names = {name: _free(name, terms) for name in ("start", "weight", "stratum", "customer")}
    present = {name: column for name, column in names.items() if column in frame.columns and column not in terms}
    rows, model, std = fit.training, fit.model, frame[list(terms)].std().to_numpy()
    penalizer: float | FloatArray = model.penalizer
    if model.penalizer and (len(rows) != rows.n_spells or rows.weight is not None):
        penalizer = model.penalizer * rows.spell_weight * rows.scale**2 / (len(rows) * std**2)
    fitter = KernelCoxPHFitter(penalizer=penalizer, l1_ratio=model.l1_ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of columns with little variance: scaled inside
        warnings.simplefilter("ignore", StatisticalWarning)  # of weights: robust where they are not whole
        fitter.fit(
            frame,
            duration_col=_free("stop", terms),
            event_col=_free("event", terms),
            entry_col=present.get("start"),
            weights_col=present.get("weight"),
            strata=[present["stratum"]] if "stratum" in present else None,
            cluster_col=present.get("customer"),
            robust=fit.estimate.robust is not None,
            # the smoothed penalty on absolute values sharpens from step to step: it begins anew
            initial_point=None if model.l1_ratio and model.penalizer else fit.estimate.coef * std,
            fit_options={"step_size": 1.0} if not model.l1_ratio else {},
        )
    return fitter
