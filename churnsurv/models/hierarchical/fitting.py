"""From a bound problem to a fit: find the mode, draw, hold against the gate, put together."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from churnsurv._typing import IntArray
from churnsurv.errors import ConvergenceWarning, DataWarning, compose_message
from churnsurv.models.base import FitInfo
from churnsurv.models.hierarchical import laplace, sampling
from churnsurv.models.hierarchical.counts import table_info
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.mode import Mode, find_mode
from churnsurv.models.hierarchical.problem import Problem
from churnsurv.models.hierarchical.row_problem import at_risk, episodes_info
from churnsurv.tables.episodes import Episodes

if TYPE_CHECKING:
    import xarray as xr

    from churnsurv.models.hierarchical.model import HierarchicalModel
    from churnsurv.tables.cells import CellTable

Report = Callable[[float, str], None]
_EXPECTED = 0.99994
"""Share of a prior outside of which the data contradict it: four standard deviations of a normal."""
_FEW_EVENTS = 5
"""Events per term below which a warning names the number (TRUST)."""


@dataclass(frozen=True)
class Drawing:
    """How draws are made; see :meth:`HierarchicalModel.fit`.

    Parameters
    ----------
    method : {"nuts", "laplace"}
        Sampler, or approximation.
    seed, chains, draws, tune : int
        Seed, chains, draws of each, and warm-up steps of each.
    target_accept : float
        Acceptance that the step size aims at.
    """

    method: Literal["nuts", "laplace"]
    seed: int
    chains: int
    draws: int
    tune: int
    target_accept: float


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Draws by name, and what is to be said of them."""

    mean: Natural
    posterior: xr.DataTree
    info: dict[str, Any]


def fit_problem(
    model: HierarchicalModel, data: CellTable | Episodes, problem: Problem, drawing: Drawing, report: Report
) -> HierarchicalFit:
    """Do what :meth:`HierarchicalModel.fit` promises, on data that was checked and bound.

    Parameters
    ----------
    model : HierarchicalModel
        The specification.
    data : CellTable or Episodes
        What it was bound to.
    problem : Problem
        The density with its names.
    drawing : Drawing
        How.
    report : callable
        Told the share done and a sentence.
    """
    began = time.perf_counter()
    _warn_about(problem, on_rows=isinstance(data, Episodes))
    report(0.0, "finding the mode")
    with sampling.quiet():
        mode = find_mode(problem.density, problem.start)
    problem = replace(problem, density=mode.density)
    drawn = (_approximated if drawing.method == "laplace" else _sampled)(problem, mode, drawing, report)
    if drawn.info["status"] != "ok":
        _warn_unreliable(drawn.info, drawing)
    _warn_of_conflict(problem, drawn.mean)
    info = replace(_about(data, independent=model.frailty is None), **drawn.info, seconds=time.perf_counter() - began)
    return HierarchicalFit.from_problem(
        model, problem, data.schema, _at_risk(data), drawn.posterior, info, mean=drawn.mean, seed=drawing.seed
    )


def _about(data: CellTable | Episodes, *, independent: bool) -> FitInfo:
    if isinstance(data, Episodes):
        return episodes_info(data, independent=independent)
    return table_info(data, independent=independent)


def _at_risk(data: CellTable | Episodes) -> IntArray:
    """Spells at risk at the end of each period."""
    if isinstance(data, Episodes):
        return at_risk(data)
    return np.bincount(data.period, data.n_at_stop, data.schema.n_periods).astype(np.int64)


def _approximated(problem: Problem, mode: Mode, drawing: Drawing, report: Report) -> _Drawn:
    with sampling.quiet():
        found = laplace.approximate(mode, seed=drawing.seed, n_draws=drawing.chains * drawing.draws, report=report)
    natural = mode.density.natural(found.position)
    posterior = sampling.posterior_tree(*problem.structure.named(natural), {})
    messages = found.messages(sampling.ESS_PER_CHAIN * drawing.chains)
    info = {
        "status": "unreliable" if messages else "ok",
        "messages": messages,
        "method": "laplace",
        "pareto_k": found.pareto_k,
        "ess_min": found.ess,
        "n_draws": found.position.shape[1],
    }
    return _Drawn(_mean_of(natural), posterior, info)


def _sampled(problem: Problem, mode: Mode, drawing: Drawing, report: Report) -> _Drawn:
    """Draw, hold against the gate, and where transitions diverge try once more with small steps and twice the warm-up.

    Too few draws are no reason: smaller steps make none of them more effective, and take five times as long.
    """
    settings: dict[str, Any] = {"seed": drawing.seed, "chains": drawing.chains, "draws": drawing.draws}
    again = {"tune": 2 * drawing.tune, "target_accept": sampling.RETRY_TARGET_ACCEPT}
    drawn = sampling.sample_nuts(
        mode, tune=drawing.tune, target_accept=drawing.target_accept, report=report, **settings
    )
    posterior, gate = _checked(problem, mode, drawn)
    if gate.divergences and not drawn.interrupted and drawing.target_accept < sampling.RETRY_TARGET_ACCEPT:
        report(0.0, "trying again with smaller steps")
        try:
            second = sampling.sample_nuts(mode, report=report, **settings, **cast(dict[str, Any], again))
        except KeyboardInterrupt:
            second = replace(drawn, interrupted=True)
        if second.interrupted:  # the first try is whole: it is not given up for a part of the second
            drawn = replace(drawn, interrupted=True)
        else:
            drawn = second
            posterior, gate = _checked(problem, mode, drawn)
    status, messages = _verdict(drawn, gate, drawing.draws)
    info = {
        "status": status,
        "messages": messages,
        "rhat_max": gate.rhat_max,
        "ess_min": gate.ess_min,
        "divergences": gate.divergences,
        "ebfmi_min": gate.ebfmi_min,
        "tree_depth_share": gate.tree_depth_share,
        "n_draws": drawn.position.shape[0] * drawn.position.shape[1],
    }
    return _Drawn(_mean_of(problem.density.natural(drawn.position)), posterior, info)


def _mean_of(natural: Natural) -> Natural:
    return Natural(*(getattr(natural, name).mean(axis=(0, 1)) for name in ("fixed", "random", "sd", "free")))


def _verdict(
    drawn: sampling.Draws, gate: sampling.Gate, draws: int
) -> tuple[Literal["ok", "unreliable", "interrupted"], tuple[str, ...]]:
    if drawn.interrupted:
        kept = drawn.position.shape[1]
        stopped = f"sampling was stopped by hand after {kept} of {draws} draws of each chain."
        return "interrupted", (stopped, *gate.messages)
    return ("unreliable" if gate.messages else "ok"), gate.messages


def _checked(problem: Problem, mode: Mode, drawn: sampling.Draws) -> tuple[xr.DataTree, sampling.Gate]:
    variables, coords = problem.structure.named(mode.density.natural(drawn.position))
    posterior = sampling.posterior_tree(variables, coords, drawn.stats)
    return posterior, sampling.check(posterior, drawn.stats)


def _warn_about(problem: Problem, *, on_rows: bool) -> None:
    events, terms = int(problem.totals.events.sum()), len(problem.structure.terms)
    if terms and events < _FEW_EVENTS * terms:
        text = compose_message(
            f"{events:,} event{'' if events == 1 else 's'} for {terms} term{'' if terms == 1 else 's'}:"
            f" {events / terms:.1f} events per term.",
            rows=[],
            count=None,
            consequence="The prior has much to say.",
            hint="look at model.priors_for(table) and model.prior_predictive(table), or use fewer terms or wider bins.",
        )
        warnings.warn(text, DataWarning, stacklevel=4)
    if problem.structure.terms.effects.left_out and not on_rows:  # rows have said so when they were bound
        text = (
            f"left out because the data cannot tell them apart: {', '.join(problem.structure.terms.effects.left_out)}."
        )
        warnings.warn(text, DataWarning, stacklevel=4)


def _warn_of_conflict(problem: Problem, mean: Natural) -> None:
    """Say where the data pulled a parameter to where its prior did not expect it."""
    layout, terms, found = problem.structure.layout, problem.structure.terms, []
    for name, prior in problem.density.fixed_priors.items():
        low, high = prior.interval(_EXPECTED)
        values = np.atleast_1d(mean.fixed[layout.place(name)])
        labels = [f"coef of {one} (in standard units)" for one in terms.labels] if name == "coef" else [name]
        found += [
            f"{label} is {value:.3g}, where {prior!r} expects {low:.3g} to {high:.3g}"
            for label, value in zip(labels, values.tolist(), strict=True)
            if not low <= value <= high
        ]
    if not found:
        return
    text = compose_message(
        f"data and prior contradict each other in {len(found)} of {layout.n_fixed} parameters: {'; '.join(found[:2])}.",
        rows=[],
        count=None,
        consequence="Either the prior is wrong, or the model explains with this parameter what it does not have another for.",
        hint="look at model.prior_predictive(table) and fit.check_survival(table), or leave out the part that the parameter"
        " belongs to.",
    )
    warnings.warn(text, DataWarning, stacklevel=4)


def _warn_unreliable(info: Mapping[str, Any], drawing: Drawing) -> None:
    messages, stopped = info["messages"], info["status"] == "interrupted"
    if stopped:
        hint = 'fit again, and let it come to its end; fit(method="laplace") takes seconds, and is approximate.'
    elif drawing.method == "laplace":
        hint = 'fit(method="nuts"), which needs no approximation.'
    elif drawing.chains == 1:
        hint = "fit(chains=4)"
    else:
        hint = "fit(draws=4000), tighter priors, or fewer terms and groups."
    text = compose_message(
        ("the posterior is not whole: " if stopped else "the posterior failed its gate: ") + " ".join(messages),
        rows=[],
        count=None,
        consequence="Intervals may be too narrow and means off; every number made from this fit says so.",
        hint=hint,
    )
    warnings.warn(text, ConvergenceWarning, stacklevel=4)
