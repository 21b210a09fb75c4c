"""What a baseline hazard has to say: how it runs with time, in parameters that may differ from row to row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv.models.hierarchical.priors import Prior


class Curve(NamedTuple):
    """A value of each row with its derivatives in the q shape parameters.

    Parameters
    ----------
    value : array of shape (n,)
        Value.
    first : array of shape (q, n)
        First derivatives.
    second : array of shape (q, q, n)
        Second derivatives.
    """

    value: FloatArray
    first: FloatArray
    second: FloatArray


class Baseline(ABC):
    r"""A hazard :math:`h_0(t; \psi)` that effects multiply: a row's is :math:`e^{\eta} h_0(t; \psi)`.

    A new baseline is one file: the class attributes, two curves, the same for one row in plain arithmetic
    (:meth:`prepare` and :meth:`row`, which are compiled), and priors. Times are in units of a centring time, so that they
    are around one.

    Attributes
    ----------
    name : str
        What ``HierarchicalModel(baseline=...)`` calls it.
    has_intercept : bool
        Whether the linear predictor has an intercept; a baseline with a location of its own has not.
    shapes : tuple of str
        Shape parameters, real numbers each.
    helpers : tuple of callable
        Functions that these call, each after those that it calls itself.
    """

    name: ClassVar[str]
    has_intercept: ClassVar[bool]
    shapes: ClassVar[tuple[str, ...]]
    helpers: ClassVar[tuple[Callable[..., Any], ...]] = ()

    @abstractmethod
    def log_pace(self, log_time: FloatArray, shape: FloatArray) -> Curve:
        r"""Log hazard per unit of *log* time, :math:`\log\{t h_0(t)\}`.

        Parameters
        ----------
        log_time : array of shape (n,)
            Log of times > 0.
        shape : array of shape (q, n) or (q, 1)
            Shape parameters.
        """

    @abstractmethod
    def log_cumulative(self, log_stop: FloatArray, log_ratio: FloatArray, shape: FloatArray) -> Curve:
        """Log of the cumulative hazard between two times, however close.

        Parameters
        ----------
        log_stop : array of shape (n,)
            Log of the later time, > 0.
        log_ratio : array of shape (n,)
            Log of later over earlier time, >= 0; infinite where that is 0.
        shape : array of shape (q, n) or (q, 1)
            Shape parameters.
        """

    @staticmethod
    @abstractmethod
    def prepare(shape: FloatArray, ready: FloatArray) -> None:
        """Fill ``ready`` (q,) with what :meth:`row` needs of the shape parameters: once, where all rows share them."""

    @staticmethod
    @abstractmethod
    def row(log_stop: float, log_ratio: float, shape: FloatArray, ready: FloatArray, out: FloatArray) -> None:
        """Both curves of one row with their first derivatives, in arithmetic that numba can compile.

        Parameters
        ----------
        log_stop, log_ratio : float
            As above.
        shape : array of shape (q,)
            Shape parameters.
        ready : array of shape (q,)
            From :meth:`prepare`.
        out : array of shape (3 + 2 * q,)
            Filled: cumulative hazard as the log of one factor and another factor, derivatives of its log; log pace, its
            derivatives.
        """

    @abstractmethod
    def default_priors(self) -> dict[str, Prior]:
        """Weakly informative priors of the shape parameters, by name."""

    def log_hazard(self, times: FloatArray, shape: FloatArray) -> Curve:
        """Log hazard per unit of time, at times > 0 in units of the centring time."""
        log_time = np.log(times)
        pace = self.log_pace(log_time, shape)
        return Curve(pace.value - log_time, pace.first, pace.second)

    def cumulative(self, start: FloatArray, stop: FloatArray, shape: FloatArray) -> Curve:
        """Cumulative hazard over ``(start, stop]``, ``0 <= start <= stop``; 0 where both are equal.

        Parameters
        ----------
        start, stop : array of shape (n,)
            Times in units of the centring time.
        shape : array of shape (q, n) or (q, 1)
            Shape parameters.
        """
        some = stop > start
        if not some.all():
            own = self.cumulative(start[some], stop[some], shape[:, some] if shape.shape[1] > 1 else shape)
            whole = Curve(*(np.zeros((*part.shape[:-1], len(some))) for part in own))
            for part, values in zip(whole, own, strict=True):
                part[..., some] = values
            return whole
        log = self.log_cumulative(*log_times(start, stop), shape)
        with np.errstate(over="ignore"):
            value = np.exp(log.value)
            return Curve(value, value * log.first, value * (log.second + log.first[:, None] * log.first))


def log_times(start: FloatArray, stop: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log of the later time, and of later over earlier without subtracting two logs.

    Examples
    --------
    >>> log_times(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    (array([0., 0.]), array([inf,  0.]))
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(stop > 0.0, (start - stop) / stop, 0.0)
        return np.log(stop), 0.0 - np.log1p(gap)
