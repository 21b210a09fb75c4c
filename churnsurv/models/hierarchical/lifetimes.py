"""Restricted means: days without the event to be expected up to a horizon, from time zero or from the time reached."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, cast

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import HorizonError
from churnsurv.models.hierarchical.arguments import check_rows
from churnsurv.models.hierarchical.curves import labelled
from churnsurv.models.hierarchical.prospects import Fresh, values_of

if TYPE_CHECKING:
    import xarray as xr

    from churnsurv.models.base import PatternRows
    from churnsurv.models.competing_rows import CauseRows
    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.tables.open_spells import OpenSpells

_PANELS = np.array([0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 1.0])
"""Where the horizon is cut: finely at the beginning, where the hazard of a baseline in continuous time may be infinite."""
_NODES = 8
_AT_ONCE = 4_000_000
"""Probabilities that are held at once."""


def restricted_mean(fit: HierarchicalFit, rows: PatternRows, horizon: float) -> xr.DataArray:
    """Days without the event up to a time on the clock: ``predict_restricted_mean_survival_time`` of a fit."""
    check_rows(fit, rows, "predict_restricted_mean_survival_time(rows, 90)")
    check_horizon(horizon, after=fit.schema.breaks[0])
    begin = np.full(len(rows.codes), fit.schema.breaks[0])
    days = days_ahead(fit, Fresh(rows.schema, rows.codes, begin, values_of(rows)), horizon - fit.schema.breaks[0])
    return labelled(fit, days[..., None], rows, np.array([horizon]), "rmst").isel(time=0, drop=True)


def remaining(fit: HierarchicalFit, rows: OpenSpells, horizon: float) -> xr.DataArray:
    """Days without the event ahead of each customer; see :meth:`HierarchicalFit.expected_remaining_lifetime`."""
    check_rows(fit, rows, "expected_remaining_lifetime(rows, 90)", reached=True)
    days = days_ahead(fit, rows, horizon)
    return labelled(fit, days[..., None], rows, np.array([horizon]), "remaining_lifetime").isel(time=0, drop=True)


def check_horizon(horizon: object, after: float = 0.0) -> None:
    """Refuse what is no number of days.

    Raises
    ------
    HorizonError
        If it is no finite number above ``after``.
    """
    number = isinstance(horizon, Real) and not isinstance(horizon, bool)
    if not number or not after < cast(float, horizon) < np.inf:
        several = isinstance(horizon, (list, tuple, np.ndarray))
        raise HorizonError(
            f"horizon={horizon!r} is no number of days {'ahead' if not after else f'after {after:g}'}.",
            consequence="Days up to one horizon are one number for each customer." if several else "",
            hint="one call for each: horizon=30, then horizon=90." if several else "horizon=365.",
        )


def days_ahead(fit: HierarchicalFit, rows: OpenSpells | CauseRows | Fresh, horizon: float) -> FloatArray:
    r"""Days without the event within the next ``horizon``, given the time reached.

    .. math:: \int_0^h \frac{S(r + u)}{S(r)} \, du

    by Gauss–Legendre nodes between breaks, and finely after r. Beside the answer, memory is about 300 MB at most, however
    many rows and draws there are.

    Parameters
    ----------
    fit : HierarchicalFit
        The fit.
    rows : OpenSpells or CauseRows
        n customers; with their ``history`` where the fit uses it.
    horizon : float
        Days ahead, > 0.

    Returns
    -------
    array of shape (n_draws, n)
        NaN where the horizon reaches beyond the last break of a piecewise baseline.

    Raises
    ------
    HorizonError
        If the horizon is no number of days.
    """
    check_horizon(horizon)
    reached = np.asarray(rows.reached, np.float64)
    n_nodes = nodes_ahead(fit, reached[:0], horizon)[0].shape[1]
    found = np.empty((fit.n_draws, len(reached)))
    n_draws = min(fit.n_draws, max(1, _AT_ONCE // n_nodes))
    n_rows = max(1, _AT_ONCE // (n_draws * n_nodes))
    for first in range(0, len(reached), n_rows):
        some = np.arange(first, min(first + n_rows, len(reached)))
        batch, (until, share) = rows.take(some), nodes_ahead(fit, reached[some], horizon)
        for low in range(0, fit.n_draws, n_draws):
            draws = np.arange(low, min(low + n_draws, fit.n_draws))
            survival = fit.conditional_survival(batch, until, draws=draws)
            found[low : low + n_draws, some] = np.sum(survival * share, axis=2)
    return found


def nodes_ahead(fit: HierarchicalFit, reached: FloatArray, horizon: float) -> tuple[FloatArray, FloatArray]:
    """Times within the next ``horizon`` days, and the days that each stands for, shape (n, n_nodes)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    panels = reached[:, None] + horizon * (_PANELS if fit.model.baseline != "piecewise" else _PANELS[[0, -1]])
    breaks = np.broadcast_to(np.asarray(fit.schema.breaks), (len(reached), len(fit.schema.breaks)))
    edges = np.sort(np.concatenate([panels, np.clip(breaks, panels[:, [0]], panels[:, [-1]])], axis=1), axis=1)
    width = np.diff(edges, axis=1)[..., None]
    times = edges[:, :-1, None] + 0.5 * width * (nodes + 1.0)
    share = 0.5 * width * weights
    n_nodes = times.shape[1] * _NODES
    return times.reshape(len(reached), n_nodes), share.reshape(len(reached), n_nodes)
