"""From a table to a Cox fit: rows, maximum, guards, covariances, baselines, draws."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray, FloatArray
from churnsurv.errors import (
    ChurnsurvError,
    ConvergenceWarning,
    DataWarning,
    FormulaError,
    SeparationError,
    compose_message,
)
from churnsurv.hazards import cox_baseline as hazards
from churnsurv.hazards.cox_residuals import clustered_covariance, score_residuals
from churnsurv.hazards.cox_rows import CoxCovariates, CoxRows, arrange_covariates
from churnsurv.hazards.partial_likelihood import CoxOptimum, maximise
from churnsurv.models.base import FitInfo, check_spacing
from churnsurv.models.cox_baseline import Baseline, Blocks, Draws
from churnsurv.models.cox_fit import CoxFit, Estimate
from churnsurv.models.cox_rows import TrainingRows, as_episodes, known_rows, read_rows
from churnsurv.models.support import Support

if TYPE_CHECKING:
    from churnsurv.models.cox import CoxModel
    from churnsurv.models.design import Design

Report = Callable[[float, str], None]

_FEW_EVENTS = 5
"""Events per term below which the fit is unreliable."""


def estimate_fit(model: CoxModel, table: Any, *, rng: int, draws: int, report: Report) -> CoxFit:
    """Do what :meth:`~churnsurv.models.cox.CoxModel.fit` promises.

    Parameters
    ----------
    model : CoxModel
        The specification.
    table : PeriodTable, SpellTable or Episodes
        Checked for what the model supports.
    rng, draws : int
        Seed and number of draws.
    report : callable
        Told the share done and a sentence.
    """
    report(0.0, "reading the rows")
    episodes, messages = known_rows(model, as_episodes(table, model.bins))
    rows, design, strata, centre = read_rows(model, episodes)
    report(0.4, f"maximising over {len(design.terms)} coefficients")
    ordered = rows.ordered()
    arranged = arrange_covariates(ordered, rows.x)
    optimum = find_optimum(model, rows, ordered, arranged, design.terms)
    report(0.7, "estimating covariances and baselines")
    estimate = _estimate(model, rows, ordered, arranged, optimum)
    steps, mean, empty = _baselines(model, ordered, arranged, optimum.coef, rows)
    blocks = Blocks.of(steps, mean)
    messages += _messages(design, rows, optimum, strata.keep(empty).labels(episodes.schema), model)
    info = FitInfo(
        status="ok" if optimum.converged and not _thin(model, rows, design) else "unreliable",
        n_draws=draws,
        messages=messages,
        n_spells=episodes.n_spells,
        n_events=int(rows.event.sum()),
        exposure=float(np.sum((rows.stop - rows.start) * (1.0 if rows.weight is None else rows.weight))),
        # the baseline's noise takes every spell for one of somebody else, on any clock
        independent_gaps=not getattr(episodes.schema.churn, "on_tenure", False) or rows.repeated,
        fingerprint=_fingerprint(rows),
        cause=episodes.cause or "",
    )
    report(0.9, f"drawing {draws:,} times")
    return CoxFit(
        model=model,
        schema=episodes.schema,
        info=info,
        design=design,
        strata=strata.keep(~empty),
        centre=centre,
        estimate=estimate,
        steps=steps,
        draws=Draws.simulate(estimate.coef, estimate.used, blocks, draws, rng),
        seed=rng,
        rows=rows,
    )


def find_optimum(
    model: CoxModel, rows: TrainingRows, ordered: CoxRows, arranged: CoxCovariates, terms: Sequence[str]
) -> CoxOptimum:
    """Maximise the (penalised) partial likelihood, and refuse where there is no finite maximum.

    Raises
    ------
    SeparationError
        If the likelihood rises for ever along some coefficient.
    FormulaError
        If terms cannot be told apart within the strata.
    """
    if model.penalizer > 0 and model.l1_ratio > 0:
        from churnsurv.models.cox_lifelines import elastic_net

        return elastic_net(model, rows, ordered, arranged)
    ridge = model.penalizer * rows.spell_weight * rows.scale**2
    optimum = maximise(ordered, arranged, penalizer=ridge, ties=model.ties)
    if optimum.monotone.any():
        raise _separation([term for term, one in zip(terms, optimum.monotone, strict=True) if one], rows)
    if not np.all(np.isfinite(optimum.covariance)):
        raise _apart(optimum.information, terms)
    return optimum


def _separation(names: Sequence[str], rows: TrainingRows) -> ChurnsurvError:
    return SeparationError(
        f"{len(names)} of {rows.x.shape[1]} coefficients have no finite estimate: {', '.join(names[:5])}.",
        rows=[{"term": name} for name in names[:5]],
        count=len(names),
        consequence="The partial likelihood rises for ever along them: whoever has the event is always on the same side "
        "of those at risk, so that the hazard ratio is zero or infinite.",
        hint="join the level with another, leave the column out, or draw it towards zero: CoxModel(..., penalizer=0.01).",
    )


def _apart(information: FloatArray, terms: Sequence[str]) -> ChurnsurvError:
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    vectors = np.linalg.eigh(information / np.outer(scale, scale))[1]
    weights = np.abs(vectors[:, 0])
    names = [terms[k] for k in np.argsort(-weights, kind="stable") if weights[k] > 0.1 * weights.max()]
    return FormulaError(
        f"{len(names)} of {len(terms)} terms cannot be told apart among those at risk together: {', '.join(names[:5])}.",
        consequence="A column that never differs within a stratum, or within the risk sets, has no effect to be learnt.",
        hint="leave it out of the formula, or out of the strata.",
    )


def _estimate(
    model: CoxModel, rows: TrainingRows, ordered: CoxRows, arranged: CoxCovariates, optimum: CoxOptimum
) -> Estimate:
    covariance, robust = optimum.covariance, None
    asked = model.robust if model.robust is not None else rows.repeated or not rows.whole_weights
    if asked and len(optimum.coef):
        score = score_residuals(ordered, arranged, optimum.coef, ties=model.ties, weighted=True)
        robust = clustered_covariance(score, covariance, rows.cluster)
    return Estimate(optimum.coef, covariance, robust, float(optimum.loglik), float(optimum.loglik_null))


def _baselines(
    model: CoxModel, ordered: CoxRows, arranged: CoxCovariates, coef: FloatArray, rows: TrainingRows
) -> tuple[Baseline, FloatArray, BoolArray]:
    """Step functions of the strata with events, end to end; the means at risk at each step; which strata have none."""
    found = hazards.baseline(ordered, arranged, coef, ties=model.ties)
    if not rows.whole_weights:
        found = tuple(_of_weights(one, mean) for one, mean in zip(found, _mean_weights(ordered), strict=True))
    empty = np.array([len(one.times) == 0 for one in found])
    kept = [(s, one) for s, one in enumerate(found) if not empty[s]]
    for _, one in kept:
        check_spacing(one.times, model.rounded, "CoxModel")
    steps = Baseline(
        labels=tuple(rows.strata[s] for s, _ in kept),
        offsets=np.concatenate([[0], np.cumsum([len(one.times) for _, one in kept])]).astype(np.int64),
        times=np.concatenate([one.times for _, one in kept]),
        cumulative_hazard=np.concatenate([np.cumsum(one.increments) for _, one in kept]),
        variance=np.concatenate([np.cumsum(one.variances) for _, one in kept]),
        n_at_risk=np.concatenate([one.n_at_risk for _, one in kept]),
        support=tuple(_support(rows, ordered, s) for s, _ in kept),
        rounded=model.rounded or 0.0,
    )
    return steps, np.concatenate([one.mean_x for _, one in kept]), empty


def _mean_weights(ordered: CoxRows) -> list[FloatArray]:
    """Mean weight of the events at each time, each counted by its weight; forwards, of each stratum."""
    dead, time = ordered.deaths()
    weight = ordered.weight[dead]
    mean = np.bincount(time, weight**2, ordered.n_times) / np.bincount(time, weight, ordered.n_times)
    return [mean[start:stop][::-1] for start, stop in itertools.pairwise(ordered.time_bounds.tolist())]


def _of_weights(one: hazards.CoxBaseline, mean: FloatArray) -> hazards.CoxBaseline:
    r"""Variance of increments whose weights are no frequencies: :math:`\sum w^2 / S^2` in place of :math:`\sum w / S^2`.

    A weight of w is then one event that counts w times, and not w events: the variance does not know the weights' unit.
    """
    return replace(one, variances=one.variances * mean)


def _support(rows: TrainingRows, ordered: CoxRows, stratum: int) -> Support:
    here = ordered.row_stratum == stratum
    start = rows.start[here]
    if rows.weight is not None and rows.whole_weights:
        return Support.of(start, ordered.stop[here], rows.weight[here])
    return Support.of(np.sort(start), np.sort(ordered.stop[here]))  # in any order; sorted, it is counted faster


def _thin(model: CoxModel, rows: TrainingRows, design: Design) -> bool:
    return bool(rows.event.sum() < _FEW_EVENTS * len(design.terms)) and model.penalizer == 0


def _messages(
    design: Design, rows: TrainingRows, optimum: CoxOptimum, empty: Sequence[str], model: CoxModel
) -> tuple[str, ...]:
    """Sentences about the fit; those that a person should see at once are warnings too."""
    found = [f"left out: {', '.join(design.left_out)}."] if design.left_out else []
    n_events, n_terms = int(rows.event.sum()), len(design.terms)
    if _thin(model, rows, design):
        what = f"{n_events / n_terms:.1f} events per term ({n_events:,} for {n_terms:,}), and five are the least."
        _warn(DataWarning, what, "Estimates lie too far from zero, and Wald intervals are off.", "use fewer columns.")
        found.append(what)
    if n_events == 1:
        what = "there is one event."
        _warn(DataWarning, what, "One customer decides everything.", "use a longer window.")
        found.append(what)
    if empty:
        what = f"strata without an event, and so without a prediction: {'; '.join(empty[:5])}."
        _warn(DataWarning, what, "A baseline of zero would promise that nobody there ever leaves.", "join strata.")
        found.append(what)
    if not optimum.converged:
        what = f"the maximum was not reached in {optimum.iterations} Newton steps."
        _warn(ConvergenceWarning, what, "Coefficients and errors may be off.", "look at the scale of the columns.")
        found.append(what)
    return tuple(found)


def _warn(kind: type[Warning], what: str, consequence: str, hint: str) -> None:
    warnings.warn(compose_message(what, rows=[], count=None, consequence=consequence, hint=hint), kind, stacklevel=5)


def _fingerprint(rows: TrainingRows) -> str:
    digest = hashlib.sha256()
    for array in (rows.start, rows.stop, rows.event, rows.weight, rows.stratum, rows.cluster, rows.x):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
