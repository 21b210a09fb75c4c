"""Restricted means: days without the event to be expected up to a horizon, from time zero or from the time reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.errors import HorizonError

if TYPE_CHECKING:
    from churnsurv.models.competing_rows import CauseRows
    from churnsurv.models.hierarchical.fit import HierarchicalFit
    from churnsurv.tables.open_spells import OpenSpells

_PANELS = np.array([0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 1.0])
"""Where the horizon is cut: finely at the beginning, where the hazard of a baseline in continuous time may be infinite."""
_NODES = 8
_AT_ONCE = 4_000_000
"""Probabilities that are held at once."""


def days_ahead(fit: HierarchicalFit, rows: OpenSpells | CauseRows, horizon: float) -> FloatArray:
    r"""Days without the event within the next ``horizon``, given the time reached.

    .. math:: \int_0^h \frac{S(r + u)}{S(r)} \, du

    by Gauss–Legendre nodes between breaks, and finely after r.

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
    if not np.isfinite(horizon) or horizon <= 0:
        raise HorizonError(f"horizon={horizon!r} is no number of days ahead.", hint="horizon=365.")
    reached = np.asarray(rows.reached, np.float64)
    until, share = nodes_ahead(fit, reached, horizon)
    found = np.empty((fit.n_draws, len(until)))
    n_draws = min(fit.n_draws, max(1, _AT_ONCE // until.shape[1]))
    n_rows = max(1, _AT_ONCE // (n_draws * until.shape[1]))
    for first in range(0, len(until), n_rows):
        some = np.arange(first, min(first + n_rows, len(until)))
        batch = rows.take(some)
        for low in range(0, fit.n_draws, n_draws):
            draws = np.arange(low, min(low + n_draws, fit.n_draws))
            survival = fit.conditional_survival(batch, until[some], draws=draws)
            found[low : low + n_draws, some] = np.sum(survival * share[some], axis=2)
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
    return times.reshape(len(reached), -1), share.reshape(len(reached), -1)
