"""Results of the nonparametric estimators: step functions that know how far they reach.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import as_floats, refuse
from churnsurv.errors import ArgumentError, HorizonError
from churnsurv.hazards.bands import BandKind, SurvivalBand, survival_band
from churnsurv.hazards.intervals import BandTransform, SurvivalInterval
from churnsurv.hazards.restricted_mean import RestrictedMean, restricted_mean
from churnsurv.hazards.steps import area_under, first_time_below, steps_taken, value_at

HazardInterval = Literal["log", "plain"]
HazardVariance = Literal["aalen", "tie-corrected"]


def moments(times: object, name: str = "times") -> FloatArray:
    """Moments on the clock as float64, >= 0."""
    at = as_floats(times, name)
    refuse(
        ArgumentError,
        np.atleast_1d(at < 0),
        "are negative.",
        columns={name: np.atleast_1d(at)},
        hint="time on the clock starts at 0.",
    )
    return at


@dataclass(frozen=True, eq=False, repr=False)
class KaplanMeier:
    """Survival curve of a group, one entry per distinct time of event or censoring.

    Made by :func:`kaplan_meier`. All arrays have shape (n_times,).

    Parameters
    ----------
    times : array
        Distinct times, increasing, in the unit of the input.
    n_at_risk, n_events, n_censored : array
        At risk just before each time, events and censorings at it; sums of weights.
    survival : array
        Probability of no event up to and including each time, eq. 10. With delayed entry it is
        conditional on reaching ``start``.
    standard_error : array
        Greenwood's, of ``survival``, eq. 11. NaN where survival is 0.
    lower, upper : array
        Pointwise bounds, eq. 12. NaN where survival is 1 or 0: nothing is known about its spread there.
    ci_prob : float
        Probability that each pair of bounds covers.
    ci_kind : {"log-log", "log", "plain"}
        Scale on which the bounds are symmetric.
    start : float
        Earliest entry; 0 when every spell is seen from its origin.
    """

    times: FloatArray
    n_at_risk: FloatArray
    n_events: FloatArray
    n_censored: FloatArray
    survival: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    ci_prob: float
    ci_kind: SurvivalInterval
    start: float

    def __repr__(self) -> str:
        """Return one line."""
        return f"KaplanMeier({len(self.times)} times, {self.n_events.sum():g} events, median={self.median():g})"

    def survival_at(self, times: object) -> FloatArray:
        """Survival at any moment: right-continuous, 1 before the first event.

        Parameters
        ----------
        times : array-like of any shape
            Moments >= 0.

        Returns
        -------
        array of the same shape
            Probabilities in [0, 1]; NaN beyond the last observed time unless survival reached 0.
        """
        at = moments(times)
        found = value_at(self.times, self.survival, at, before=1.0)
        return np.where((at <= self.times[-1]) | (found == 0), found, np.nan)

    def conditional_survival(self, conditional_after: object, times: object) -> FloatArray:
        """Survival to ``times`` given that ``conditional_after`` was reached, S(t) / S(s).

        It is the product of the factors of eq. 10 in (s, t], so it is known even where an early, tiny
        risk set took the whole curve to 0.

        Parameters
        ----------
        conditional_after : array-like
            Time s already reached, >= 0.
        times : array-like
            Moments t >= s (clock time, not time ahead); broadcasts against ``conditional_after``.

        Returns
        -------
        array of the broadcast shape
            Probabilities in [0, 1]; NaN where t lies beyond what was observed, unless survival reached 0
            between s and t.

        Raises
        ------
        ArgumentError
            If a time lies before the time already reached.
        """
        after, until = np.broadcast_arrays(moments(conditional_after, "conditional_after"), moments(times))
        refuse(
            ArgumentError,
            np.atleast_1d(until < after),
            "lie before conditional_after.",
            columns={"times": np.atleast_1d(until), "conditional_after": np.atleast_1d(after)},
            hint="times are moments on the clock, not time ahead: pass conditional_after + horizon.",
        )
        lost = self.n_events / self.n_at_risk
        emptied = np.concatenate([[0], np.cumsum(lost == 1)])
        log_kept = np.concatenate([[0.0], np.cumsum(np.log1p(-np.where(lost < 1, lost, 0.0)))])
        first, last = steps_taken(self.times, after), steps_taken(self.times, until)
        product = np.where(emptied[last] > emptied[first], 0.0, np.exp(log_kept[last] - log_kept[first]))
        known = (until <= self.times[-1]) | (product == 0)
        return np.where(known | (until == after), product, np.nan)

    def quantile(self, prob: float) -> float:
        """Earliest time by which a share ``prob`` had the event; NaN if the curve never falls so far.

        Parameters
        ----------
        prob : float
            Share, strictly between 0 and 1.
        """
        if not 0 < prob < 1:
            raise ArgumentError(
                f"`prob`={prob!r} is not strictly between 0 and 1.", column="prob", hint="prob=0.5 is the median."
            )
        return first_time_below(self.times, self.survival, 1.0 - prob)

    def median(self) -> float:
        """Earliest time at which survival is at most one half; NaN if it never is."""
        return self.quantile(0.5)

    def restricted_mean_survival_time(self, horizon: float) -> float:
        """Area under the curve from 0 to ``horizon``: expected time without the event, eq. 4.

        With delayed entry the stretch before ``start`` counts in full, as the curve is conditional on it.

        Parameters
        ----------
        horizon : float
            Moment on the clock, > 0.

        Returns
        -------
        float
            Same unit of time.

        Raises
        ------
        HorizonError
            If the curve is not known up to the horizon.
        """
        end = float(self.times[-1])
        if not 0 < horizon <= end and not (self.survival[-1] == 0 and horizon > end):
            raise HorizonError(
                f"a horizon of {horizon:g} lies outside (0, {end:g}], where the curve is known.",
                column="horizon",
                consequence="Beyond the last observed time the area depends on a guess.",
                hint=f"ask for at most {end:g}.",
            )
        return area_under(self.times, self.survival, 0.0, float(horizon), before=1.0)

    def restricted_mean(self, horizon: float, *, ci_prob: float | None = None) -> RestrictedMean:
        """Restricted mean survival time with its own standard error and bounds, eq. 25.

        Parameters
        ----------
        horizon : float
            Moment on the clock, > 0.
        ci_prob : float, optional
            Probability that the interval covers; that of the curve by default.

        Returns
        -------
        RestrictedMean
            Estimate in the curve's unit of time; two of them make a contrast.

        Raises
        ------
        HorizonError
            If the curve is not known up to the horizon.
        """
        return restricted_mean(self, horizon, ci_prob=self.ci_prob if ci_prob is None else ci_prob)

    def band(
        self,
        kind: BandKind = "equal-precision",
        *,
        time_range: tuple[float, float] | None = None,
        ci_prob: float | None = None,
        transform: BandTransform = "log-log",
    ) -> SurvivalBand:
        """Band that covers the whole curve over a range of time at once, eq. 29 and 30.

        Parameters
        ----------
        kind : {"equal-precision", "hall-wellner"}
            Nair's band, everywhere the same number of standard errors wide, or that of Hall and Wellner,
            wide at the ends and narrower in the middle.
        time_range : tuple of two floats, optional
            First and last moment covered. From the first event to the last one before which the curve
            has not reached 0 by default; the shorter the range, the narrower the band.
        ci_prob : float, optional
            Probability that the band covers all of the curve in the range; that of the curve by default.
        transform : {"log-log", "arcsine", "log", "plain"}
            Scale on which the band is symmetric.

        Returns
        -------
        SurvivalBand
            One entry per step in the range.

        Raises
        ------
        HorizonError
            If the range leaves what is known, or the curve's variance is 0 where the range begins and the
            band needs it.
        """
        prob = self.ci_prob if ci_prob is None else ci_prob
        return survival_band(self, kind, time_range=time_range, ci_prob=prob, transform=transform)


@dataclass(frozen=True, eq=False, repr=False)
class NelsonAalen:
    """Cumulative hazard of a group, one entry per distinct time of event or censoring.

    Made by :func:`nelson_aalen`. All arrays have shape (n_times,).

    Parameters
    ----------
    times : array
        Distinct times, increasing, in the unit of the input.
    n_at_risk, n_events, n_censored : array
        At risk just before each time, events and censorings at it; sums of weights.
    cumulative_hazard : array
        Expected number of events up to each time, eq. 13, counted from ``start``. No unit.
    standard_error : array
        Of ``cumulative_hazard``, eq. 14 or 15.
    lower, upper : array
        Pointwise bounds, eq. 16. NaN before the first event.
    ci_prob : float
        Probability that each pair of bounds covers.
    ci_kind : {"log", "plain"}
        Scale on which the bounds are symmetric.
    variance : {"aalen", "tie-corrected"}
        Which standard error.
    start : float
        Earliest entry; 0 when every spell is seen from its origin.
    """

    times: FloatArray
    n_at_risk: FloatArray
    n_events: FloatArray
    n_censored: FloatArray
    cumulative_hazard: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    ci_prob: float
    ci_kind: HazardInterval
    variance: HazardVariance
    start: float

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"NelsonAalen({len(self.times)} times, {self.n_events.sum():g} events, H={self.cumulative_hazard[-1]:.4g})"
        )

    def cumulative_hazard_at(self, times: object) -> FloatArray:
        """Cumulative hazard at any moment: right-continuous, 0 before the first event.

        Parameters
        ----------
        times : array-like of any shape
            Moments >= 0.

        Returns
        -------
        array of the same shape
            No unit; NaN beyond the last observed time.
        """
        at = moments(times)
        found = value_at(self.times, self.cumulative_hazard, at, before=0.0)
        return np.where(at <= self.times[-1], found, np.nan)
