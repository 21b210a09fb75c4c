"""What the fits of several causes have in common: their draws in pairs, their gates in one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv.errors import ArgumentError
from churnsurv.models.base import FitInfo, SurvivalFit

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def paired_draws(k: int, picked: IntArray, n_draws: int, n_own: int) -> IntArray:
    """Draw of the k-th fit that goes with each common draw.

    Parameters
    ----------
    k : int
        Place of the fit; the first one keeps its order.
    picked : array of int
        Positions among the common draws.
    n_draws, n_own : int
        Common draws, and draws of this fit; a fit with more of them is thinned evenly.

    Returns
    -------
    array of int
        Positions among the fit's own draws, each common draw having another one; one position for a single draw.

    Notes
    -----
    The order is a walk in equal steps around the draws. Fits that were made with one seed have used the same random
    numbers in the same places; side by side, their draws would move together, which independent posteriors do not.

    Examples
    --------
    >>> paired_draws(1, np.arange(5), 5, 5)
    array([1, 4, 2, 0, 3])
    """
    if n_own == 1:
        return np.zeros(1, np.int64)
    if k == 0:
        return picked * n_own // n_draws
    step = max(1, round(n_draws * ((k * _GOLDEN) % 1.0)))
    while math.gcd(step, n_draws) > 1:
        step += 1
    return (picked * step + k) % n_draws * n_own // n_draws


def further_uniform(quantile: FloatArray, k: int) -> FloatArray:
    """Uniform number of the k-th cause out of a common one: its digits further back, which know nothing of the first."""
    return quantile if k == 0 else np.asarray((quantile * (1e6 * math.sqrt(k + 1.0))) % 1.0)


def check_different(fits: Mapping[str, SurvivalFit]) -> None:
    """Refuse one fit for two causes, or two fits on the very same events.

    Raises
    ------
    ArgumentError
        Naming both causes.
    """
    seen: dict[str, str] = {}
    for cause, fit in fits.items():
        if fit.info.cause and fit.info.cause != cause:
            raise ArgumentError(
                f"the fit given for {cause!r} has learnt from {fit.info.cause!r}.",
                consequence="One of the causes would have the hazard of another one.",
                hint=f"write CompetingFits({{{fit.info.cause!r}: …}}).",
            )
        key = fit.info.fingerprint or str(id(fit))
        if key in seen:
            raise ArgumentError(
                f"the fits of {seen[key]!r} and {cause!r} have learnt from the very same events.",
                consequence="One of the causes would have the hazard of another one.",
                hint=f"fit each cause on its own events: cells.with_cause({cause!r}).",
            )
        seen[key] = cause


def joined_info(infos: Mapping[str, FitInfo], n_draws: int) -> FitInfo:
    """Join the infos of fits on the same spells: the worst of the gates, every message with its cause in front."""
    parts = list(infos.values())
    states = [part.status for part in parts]
    worst = next((state for state in ("unreliable", "interrupted") if state in states), "ok")
    prints = "\n".join(f"{cause}={info.fingerprint}" for cause, info in infos.items())

    def extreme(name: str, choose: Callable[[list[float]], float]) -> float:
        known = [value for value in (getattr(part, name) for part in parts) if not math.isnan(value)]
        return choose(known) if known else math.nan

    return FitInfo(
        status=worst,  # type: ignore[arg-type]  # one of the three
        rhat_max=extreme("rhat_max", max),
        ess_min=extreme("ess_min", min),
        divergences=sum(part.divergences for part in parts),
        ebfmi_min=extreme("ebfmi_min", min),
        tree_depth_share=extreme("tree_depth_share", max),
        seconds=sum(part.seconds for part in parts),
        n_draws=n_draws,
        messages=tuple(f"{cause}: {text}" for cause, info in infos.items() for text in info.messages),
        n_cells=max(part.n_cells for part in parts),
        n_spells=max(part.n_spells for part in parts),
        n_events=sum(part.n_events for part in parts),
        exposure=max(part.exposure for part in parts),
        independent_gaps=any(part.independent_gaps for part in parts),
        fingerprint=hashlib.sha256(prints.encode()).hexdigest(),
        method="laplace" if any(part.method == "laplace" for part in parts) else "",
        pareto_k=extreme("pareto_k", max),
    )
