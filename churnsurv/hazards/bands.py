"""Simultaneous bands: bounds that hold for a whole stretch of a Kaplan–Meier curve at once.

Pointwise bounds hold at one moment chosen beforehand; over a whole curve the chance that they fail
somewhere is several times as large. Equation numbers refer to the page of quantities
(docs/explanation/quantities.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice, check_ci_prob
from churnsurv.errors import HorizonError
from churnsurv.hazards.crossing import equal_precision_critical_value, hall_wellner_critical_value
from churnsurv.hazards.intervals import BandTransform, survival_bounds
from churnsurv.hazards.steps import value_at

if TYPE_CHECKING:
    from churnsurv.hazards.curves import KaplanMeier

BandKind = Literal["equal-precision", "hall-wellner"]


@dataclass(frozen=True, eq=False, repr=False)
class SurvivalBand:
    """Band that covers a survival curve over a range of time, all of it at once.

    Made by :meth:`KaplanMeier.band`. All arrays have shape (n_times,).

    Parameters
    ----------
    kind : {"equal-precision", "hall-wellner"}
        Which band.
    transform : {"log-log", "arcsine", "log", "plain"}
        Scale on which it is symmetric.
    time_range : tuple of two floats
        First and last moment covered.
    times : array
        The first moment covered, then the steps of the curve up to the last; between them the band is flat.
    survival : array
        The curve at those times.
    lower, upper : array
        The band, eq. 30. NaN where survival is 1, and so everywhere if it never takes a value between
        0 and 1.
    ci_prob : float
        Probability that the band covers the curve at every moment of the range.
    critical_value : float
        Number of standard errors (equal precision) or level of the bridge (Hall–Wellner), eq. 29.
    """

    kind: BandKind
    transform: BandTransform
    time_range: tuple[float, float]
    times: FloatArray
    survival: FloatArray
    lower: FloatArray
    upper: FloatArray
    ci_prob: float
    critical_value: float

    def __repr__(self) -> str:
        """Return one line."""
        first, last = self.time_range
        return (
            f"SurvivalBand({self.kind}, {self.ci_prob:g} on [{first:g}, {last:g}], "
            f"critical value {self.critical_value:.4g})"
        )

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of a table, one row per step; ``pandas.DataFrame`` takes them as they are."""
        return {"time": self.times, "survival": self.survival, "lower": self.lower, "upper": self.upper}


def _relative_error(curve: KaplanMeier) -> FloatArray:
    """Standard error of log survival, eq. 11; NaN where the curve is 0."""
    error = np.full(len(curve.times), np.nan)
    np.divide(curve.standard_error, curve.survival, out=error, where=curve.survival > 0)
    return error


def _known_until(curve: KaplanMeier) -> float:
    """Last moment at which the curve is known and above 0."""
    dead = curve.times[curve.survival == 0]
    return float(np.nextafter(dead[0], 0.0)) if len(dead) else float(curve.times[-1])


def _widest_range(curve: KaplanMeier) -> tuple[float, float]:
    """First event to the last one before the curve is 0; all that is known where there is none."""
    stepped = curve.times[(curve.n_events > 0) & (curve.survival > 0)]
    return (float(stepped[0]), float(stepped[-1])) if len(stepped) else (0.0, _known_until(curve))


def _range(curve: KaplanMeier, kind: BandKind, time_range: tuple[float, float] | None) -> tuple[float, float]:
    least, most = _widest_range(curve)
    if time_range is None:
        return least, most
    first, last = (float(edge) for edge in time_range)
    known = _known_until(curve)
    if not 0 <= first <= last <= known:
        raise HorizonError(
            f"the range [{first:g}, {last:g}] leaves [0, {known:g}], where the curve is known and above 0.",
            column="time_range",
            consequence="A band there would be a guess.",
            hint=f"write time_range=({least:g}, {most:g}).",
        )
    if kind == "equal-precision" and first < least <= last:
        raise HorizonError(
            f"the range begins at {first:g}, before the first event at {least:g}.",
            column="time_range",
            consequence="The standard error is 0 there, and no number of them makes a band.",
            hint=f'write time_range=({least:g}, {last:g}), or kind="hall-wellner".',
        )
    return first, last


def _critical_value(kind: BandKind, prob: float, variance: tuple[float, float], n_spells: float) -> float:
    """Eq. 29, with the variance of log survival at both ends of the range."""
    if variance[1] == 0:
        return float("nan")
    if kind == "equal-precision":
        return equal_precision_critical_value(prob, float(np.log(variance[1] / variance[0])))
    start, stop = (n_spells * v / (1 + n_spells * v) for v in variance)
    return hall_wellner_critical_value(prob, start, stop)


def survival_band(
    curve: KaplanMeier,
    kind: BandKind = "equal-precision",
    *,
    time_range: tuple[float, float] | None = None,
    ci_prob: float = 0.90,
    transform: BandTransform = "log-log",
) -> SurvivalBand:
    r"""Simultaneous band of a Kaplan–Meier curve, eq. 29 and 30.

    With :math:`\hat\sigma^2(t)` the sum of eq. 11 and n the number of spells, equal precision uses the width
    :math:`c\,\hat\sigma(t)`, Hall and Wellner :math:`k\,(1 + n\hat\sigma^2(t)) / \sqrt n`, where c and k are
    computed for the range, not looked up. Both lean on large numbers; the log-log and the arcsine scale hold
    their probability down to some twenty-five spells, the plain one does not.

    Parameters
    ----------
    curve : KaplanMeier
        The curve.
    kind, time_range, ci_prob, transform
        As in :meth:`KaplanMeier.band`.

    Returns
    -------
    SurvivalBand
        One entry per step in the range.

    Raises
    ------
    HorizonError
        If the range leaves what is known, or begins where an equal-precision band has no width.

    References
    ----------
    .. [1] Klein, J. P. and Moeschberger, M. L. (2003). *Survival Analysis*, 2nd ed., section 4.4. Springer.
    .. [2] Borgan, Ø. and Liestøl, K. (1990). A note on confidence intervals and bands for the survival
       function based on transformations. *Scandinavian Journal of Statistics*, 17, 35–41.

    Examples
    --------
    >>> from churnsurv.hazards import kaplan_meier
    >>> kaplan_meier(range(1, 21), [1, 0] * 10, ci_prob=0.95).band("hall-wellner", time_range=(3, 15))
    SurvivalBand(hall-wellner, 0.95 on [3, 15], critical value 1.331)
    """
    kind = cast(BandKind, check_choice(kind, "kind", ("equal-precision", "hall-wellner")))
    scale = cast(BandTransform, check_choice(transform, "transform", ("log-log", "arcsine", "log", "plain")))
    prob = check_ci_prob(ci_prob)
    error = _relative_error(curve)
    first, last = _range(curve, kind, time_range)
    inside = (curve.times > first) & (curve.times <= last)
    times = np.concatenate([[first], curve.times[inside]])
    survival = value_at(curve.times, curve.survival, times, before=1.0)
    spread = value_at(curve.times, error, times, before=0.0)
    n_spells = float(np.sum(curve.n_events + curve.n_censored))
    critical = _critical_value(kind, prob, (float(spread[0] ** 2), float(spread[-1] ** 2)), n_spells)
    unit = spread if kind == "equal-precision" else (1 + n_spells * spread**2) / np.sqrt(n_spells)
    lower, upper = survival_bounds(survival, critical * unit, scale)
    return SurvivalBand(kind, scale, (first, last), times, survival, lower, upper, prob, critical)
