"""Priors as data: what a parameter is believed to be before the data speak."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, cast

import numpy as np
from scipy import stats
from scipy.special import betaln, gammaln

from churnsurv._typing import FloatArray, Json
from churnsurv.errors import PriorError
from churnsurv.models.grammar import nearest

Numbers = FloatArray | float
"""Densities take one number or many."""
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Prior(ABC):
    """Base of every prior: a density with its two derivatives, and a way to draw from it.

    Attributes
    ----------
    domain : {"real", "positive", "correlation"}
        What it is a prior of: an effect, a standard deviation, or correlations.
    """

    domain: ClassVar[str] = "real"

    def _check(self, **settings: float) -> None:
        """Refuse settings that are no numbers or impossible, and keep the others as plain floats."""
        for name, value in settings.items():
            real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            if real and math.isfinite(value) and (value > 0 or name == "mean"):
                object.__setattr__(self, name, float(value))
            else:
                raise PriorError(
                    f"{type(self).__name__}: {name}={value!r} is impossible.",
                    hint=f"{name} must be a number, finite" + ("." if name == "mean" else " and > 0."),
                )

    @abstractmethod
    def log_density(self, x: Numbers) -> Any:
        """Log density at each x."""

    @abstractmethod
    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each x."""

    @abstractmethod
    def curvature(self, x: Numbers) -> Any:
        """Precision for a Newton step at each x: minus the second derivative, or a positive bound of it."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent draws, shape (size,)."""

    @abstractmethod
    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval that holds this much of the prior."""

    def to_json(self) -> dict[str, Json]:
        """Return the prior as a manifest holds it."""
        return {"type": type(self).__name__, **asdict(cast("Normal", self))}


@dataclass(frozen=True)
class Normal(Prior):
    """Normal prior of an effect on the log hazard.

    Parameters
    ----------
    mean : float
        Centre.
    sd : float
        Standard deviation, > 0.

    Examples
    --------
    >>> Normal(0, 1).log_density(np.zeros(1)).round(4)
    array([-0.9189])
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        self._check(mean=self.mean, sd=self.sd)

    def log_density(self, x: Numbers) -> Any:
        """Log density at each x."""
        return -0.5 * ((x - self.mean) / self.sd) ** 2 - (math.log(self.sd) + _HALF_LOG_2PI)

    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each x."""
        return (self.mean - x) / self.sd**2

    def curvature(self, x: Numbers) -> Any:
        """One over the variance."""
        return np.full_like(x, self.sd**-2)

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent draws."""
        return rng.normal(self.mean, self.sd, size)

    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval that holds this much of the prior."""
        low, high = stats.norm.interval(prob, self.mean, self.sd)
        return float(low), float(high)


@dataclass(frozen=True)
class StudentT(Prior):
    """Student t prior of an effect: like a normal, but willing to be wrong by much.

    Parameters
    ----------
    df : float
        Degrees of freedom, > 0.
    mean : float
        Centre.
    sd : float
        Scale, > 0 (the standard deviation only as ``df`` grows).
    """

    df: float
    mean: float
    sd: float

    def __post_init__(self) -> None:
        self._check(df=self.df, mean=self.mean, sd=self.sd)

    def log_density(self, x: Numbers) -> Any:
        """Log density at each x."""
        z = (x - self.mean) / self.sd
        half = 0.5 * (self.df + 1.0)
        scale = gammaln(half) - gammaln(0.5 * self.df) - 0.5 * math.log(self.df * math.pi) - math.log(self.sd)
        return scale - half * np.log1p(z * z / self.df)

    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each x."""
        z = (x - self.mean) / self.sd
        return -(self.df + 1.0) * z / (self.sd * (self.df + z * z))

    def curvature(self, x: Numbers) -> Any:
        """Positive bound of minus the second derivative: far out the density is not log-concave."""
        z = (x - self.mean) / self.sd
        return (self.df + 1.0) / (self.sd**2 * (self.df + z * z))

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent draws."""
        return self.mean + self.sd * rng.standard_t(self.df, size)

    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval that holds this much of the prior."""
        low, high = stats.t.interval(prob, self.df, self.mean, self.sd)
        return float(low), float(high)


@dataclass(frozen=True)
class HalfNormal(Prior):
    """Half-normal prior of a standard deviation.

    Parameters
    ----------
    sd : float
        Scale, > 0; about two thirds of the mass lies below it.
    """

    sd: float
    domain: ClassVar[str] = "positive"

    def __post_init__(self) -> None:
        self._check(sd=self.sd)

    def log_density(self, x: Numbers) -> Any:
        """Log density at each x > 0."""
        return -0.5 * (x / self.sd) ** 2 - (math.log(self.sd) + _HALF_LOG_2PI - math.log(2.0))

    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each x > 0."""
        return -x / self.sd**2

    def curvature(self, x: Numbers) -> Any:
        """One over the squared scale."""
        return np.full_like(x, self.sd**-2)

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent draws."""
        return np.abs(rng.normal(0.0, self.sd, size))

    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval that holds this much of the prior."""
        low, high = stats.halfnorm.interval(prob, 0.0, self.sd)
        return float(low), float(high)


@dataclass(frozen=True)
class Exponential(Prior):
    """Exponential prior of a standard deviation.

    Parameters
    ----------
    mean_sd : float
        Mean, > 0.
    """

    mean_sd: float
    domain: ClassVar[str] = "positive"

    def __post_init__(self) -> None:
        self._check(mean_sd=self.mean_sd)

    def log_density(self, x: Numbers) -> Any:
        """Log density at each x > 0."""
        return -x / self.mean_sd - math.log(self.mean_sd)

    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each x > 0."""
        return 0.0 * x - 1.0 / self.mean_sd

    def curvature(self, x: Numbers) -> Any:
        """Zero: the log density is a straight line."""
        return np.zeros_like(x)

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent draws."""
        return rng.exponential(self.mean_sd, size)

    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval that holds this much of the prior."""
        low, high = stats.expon.interval(prob, 0.0, self.mean_sd)
        return float(low), float(high)


@dataclass(frozen=True)
class LKJ(Prior):
    """Lewandowski–Kurowicka–Joe prior of the correlations between the effects of a level.

    Parameters
    ----------
    concentration : float
        1 is uniform over correlation matrices; more pulls towards no correlation, > 0.
    """

    concentration: float
    domain: ClassVar[str] = "correlation"

    def __post_init__(self) -> None:
        self._check(concentration=self.concentration)

    def log_density(self, x: Numbers) -> Any:
        """Log density of one correlation between two effects."""
        b = self.concentration
        return (b - 1.0) * np.log1p(-np.square(x)) - (betaln(b, b) + (2.0 * b - 1.0) * math.log(2.0))

    def slope(self, x: Numbers) -> Any:
        """Derivative of the log density at each correlation."""
        return -2.0 * (self.concentration - 1.0) * x / (1.0 - np.square(x))

    def curvature(self, x: Numbers) -> Any:
        """Minus the second derivative where the correlation is 0, at least 0."""
        return np.full_like(x, max(2.0 * (self.concentration - 1.0), 0.0))

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Independent correlations of two effects."""
        return 2.0 * rng.beta(self.concentration, self.concentration, size) - 1.0

    def interval(self, prob: float) -> tuple[float, float]:
        """Equal-tailed interval of one correlation between two effects."""
        low, high = stats.beta.interval(prob, self.concentration, self.concentration)
        return 2.0 * float(low) - 1.0, 2.0 * float(high) - 1.0


SMALLEST_SD = 1e-4
"""Scale of a standard deviation below which nothing varies: its effects and it could not be found together."""

PRIORS: dict[str, type[Prior]] = {prior.__name__: prior for prior in (Normal, StudentT, HalfNormal, Exponential, LKJ)}
"""Every prior by the name that a manifest uses."""


def prior_from_json(data: Mapping[str, Json]) -> Prior:
    """Read a prior back from a manifest.

    Raises
    ------
    PriorError
        If the type is unknown or its settings are.
    """
    settings = dict(data)
    kind = PRIORS.get(str(settings.pop("type", None)))
    names = {one.name for one in fields(cast(Any, kind))} if kind else set()
    if (
        kind is None
        or set(settings) != names
        or not all(isinstance(value, (int, float)) for value in settings.values())
    ):
        raise PriorError(f"{dict(data)!r} is not a prior.", hint=f"priors are: {', '.join(PRIORS)}.")
    return kind(**settings)


def resolve_priors(defaults: dict[str, Prior], overrides: Mapping[str, Prior]) -> dict[str, Prior]:
    """Put a user's priors in place of the defaults.

    Raises
    ------
    PriorError
        If a name is unknown, or a prior does not fit its parameter.

    Examples
    --------
    >>> resolve_priors({"coef": Normal(0, 1)}, {"coef": Normal(0, 0.5)})
    {'coef': Normal(mean=0.0, sd=0.5)}
    """
    unknown = [name for name in overrides if name not in defaults]
    if unknown:
        near = {nearest(name, defaults) or name: prior for name, prior in overrides.items()}
        meant = f"priors={near!r}; " if set(near) <= set(defaults) else ""
        raise PriorError(
            f"{len(unknown)} of {len(overrides)} priors name no parameter of the model: {', '.join(unknown)}.",
            hint=f"{meant}parameters are: {', '.join(defaults)}.",
        )
    for name, prior in overrides.items():
        if not isinstance(prior, Prior) or prior.domain != defaults[name].domain:
            wanted = [key for key, kind in PRIORS.items() if kind.domain == defaults[name].domain]
            raise PriorError(f"{prior!r} cannot be the prior of {name}.", hint=f"use {' or '.join(wanted)}.")
        if prior.domain == "positive" and _scale(prior) < SMALLEST_SD:
            raise PriorError(
                f"{prior!r} holds {name} next to 0: scales of standard deviations are {SMALLEST_SD:g} at least.",
                consequence="What may not vary is no part of the model, and its density has no mode that could be found.",
                hint=f"leave {_without(name)}, or let it vary a little: priors={{{name!r}: HalfNormal(0.01)}}",
            )
    return {**defaults, **overrides}


def _scale(prior: Prior) -> float:
    """How wide a prior of a standard deviation is: its one setting."""
    return float(cast(float, next(value for name, value in prior.to_json().items() if name != "type")))


def _without(name: str) -> str:
    """Where a part of the model is left out, by the name of its standard deviation."""
    if name in _SETTINGS:
        return _SETTINGS[name]
    group, _, kind = name.removesuffix("_sd").rpartition("_")
    return f"{group} out of {'groups' if kind == 'effect' else 'shape_groups'}"


_SETTINGS = {
    "frailty_sd": 'frailty="gamma" out',
    "walk_sd": "all breaks but the first and the last out",
    "month_sd": "calendar=True out",
    "season_sd": "calendar=True out",
}


def meaning(name: str, prior: Prior, time_scale: float = 1.0) -> str:
    """Say in words what a prior says about its parameter.

    Parameters
    ----------
    name : str
        Parameter.
    prior : Prior
        Its prior.
    time_scale : float
        Days that a baseline in continuous time measures time in; 1 for a piecewise one.

    Examples
    --------
    >>> meaning("coef", Normal(0, 1))
    '90 % of hazard ratios lie between 0.19 and 5.2'
    >>> meaning("country_effect_sd", HalfNormal(0.5))
    'two levels in three lie within a factor of 2.7 of the average at most, in 95 of 100 cases'
    >>> meaning("frailty_sd", HalfNormal(1.0))
    "customers' own rhythms scatter with a standard deviation of at most 2 around 1, in 95 of 100 cases"
    """
    low, high = prior.interval(0.9)
    if prior.domain == "correlation":
        return f"nine of ten correlations lie between {low:.2g} and {high:.2g}"
    if prior.domain == "positive":
        return _meaning_of_spread(name, high)
    if name == "cure_logit":
        return f"between {_share(low):.1%} and {_share(high):.0%} are out of reach for good, with probability 90 %"
    low, high = math.exp(low), math.exp(high)
    if name == "intercept" and time_scale != 1.0:
        until = f"the reference's hazard until day {time_scale:.3g}"
        return f"{until} adds up to between {low:.2g} and {high:.2g} with probability 90 %"
    if name == "location":
        low, high = low * time_scale, high * time_scale
    if name in _MEANINGS:
        return _MEANINGS[name].format(low=low, high=high) + " with probability 90 %"
    return f"90 % of hazard ratios lie between {low:.2g} and {high:.2g}"


_MEANINGS = {
    "intercept": "the reference's hazard lies between {low:.2g} and {high:.2g} a day",
    "log_shape": "the shape (1: a hazard that does not change) lies between {low:.2g} and {high:.2g}",
    "location": "the reference's median time lies between {low:.2g} and {high:.2g} days",
    "log_spread": "the standard deviation of log time lies between {low:.2g} and {high:.2g}",
}


def _share(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def _meaning_of_spread(name: str, high: float) -> str:
    if name == "frailty_sd":
        return f"customers' own rhythms scatter with a standard deviation of at most {high:.2g} around 1, in 95 of 100 cases"
    if name == "walk_sd":
        return f"the hazard changes by a factor of {math.exp(high * math.sqrt(math.log(2))):.2g} at most per doubling of time"
    if name == "month_sd":
        return f"the level changes by a factor of {math.exp(high):.2g} at most from month to month, in 95 of 100 cases"
    if name.endswith("_walk_sd"):
        factor = math.exp(high * math.sqrt(math.log(2)))
        return f"a level's hazard departs from the others' by a factor of {factor:.2g} at most per doubling of time"
    what = "shapes of two levels in three" if name.endswith("_shape_sd") else "two levels in three"
    return f"{what} lie within a factor of {math.exp(high):.2g} of the average at most, in 95 of 100 cases"
