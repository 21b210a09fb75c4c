"""What one model said at one cutoff of everybody at risk there; kept in files so that nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from churnsurv import __version__
from churnsurv._typing import FloatArray, IntArray, Json, StrArray
from churnsurv.errors import SavedFitError
from churnsurv.models.container import pack, unpack, write_at_once
from churnsurv.risk.columns import STATUSES, Chance
from churnsurv.risk.futures import ANY

if TYPE_CHECKING:
    from churnsurv.risk.table import RiskTable

_COMPUTED_BY = ("duckdb", "lifelines", "numpy", "pymc", "scikit-learn", "scipy")
_FORMAT = 1
"""Raised whenever a forecast in a file would mean something else."""


@dataclass(frozen=True, eq=False)
class PredictedTotals:
    """Expected churners of the customers in each level of a column, with a predictive interval.

    Parameters
    ----------
    column : str
        Column; empty for everyone.
    levels : tuple of str
        Levels.
    expected, lower, upper : arrays of shape (n_levels, n_horizons)
        Customers; bounds NaN for a model without uncertainty.
    """

    column: str
    levels: tuple[str, ...]
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, eq=False)
class Forecast:
    """Chances of n customers at k horizons, as one model told them at one cutoff.

    Parameters
    ----------
    model : str
        Name.
    cutoff : str
        Moment of the prediction.
    horizons : tuple of float
        Days ahead.
    customer_id : array of shape (n,)
        Ids, in order.
    churn, no_return : Chance
        Arrays of shape (n, k); ``no_return`` is all NaN off the gap clock.
    by_cause : array of shape (n, k, n_causes)
        Probability of churn by each cause.
    status : array of shape (n, k)
        Texts of :data:`STATUSES`.
    totals : tuple of PredictedTotals
        Everyone, then by each column that the model knows.
    level_codes : array of shape (n_columns, n)
        Place of each customer's level in each of ``totals[1:]``.
    seconds : tuple of float
        Wall time of the fit and of the prediction; NaN where they were read from a file.
    info : mapping
        ``status`` of the fit and its ``messages``.
    failure : str
        Why there is no forecast; empty where there is one.
    """

    model: str
    cutoff: str
    horizons: tuple[float, ...]
    customer_id: StrArray
    churn: Chance
    no_return: Chance
    by_cause: FloatArray
    status: StrArray
    totals: tuple[PredictedTotals, ...]
    level_codes: IntArray
    seconds: tuple[float, float]
    info: Mapping[str, Json] = field(default_factory=dict)
    failure: str = ""

    @classmethod
    def of_risk(cls, model: str, cutoff: str, risk: RiskTable, seconds: tuple[float, float]) -> Forecast:
        """Keep what a risk table says."""
        columns, shape = risk.columns, risk.columns.churn.shape
        nothing = np.full(shape, np.nan)
        point = risk.fit.n_draws == 1
        totals, codes = [], []
        for name, sums in risk.sums.items():
            tail = (1 - risk.ci_prob) / 2
            low, high = np.quantile(sums.counts, [tail, 1 - tail], axis=0, method="inverted_cdf")
            bounds = (np.full(low.shape, np.nan),) * 2 if point else (low.astype(float), high.astype(float))
            totals.append(PredictedTotals(name, sums.levels, sums.expected, *bounds))
            if name:
                place = [column.name for column in risk.fit.schema.covariates].index(name)
                codes.append(np.searchsorted(np.asarray(sums.levels, dtype=object), columns.levels[place]))
        return cls(
            model=model,
            cutoff=cutoff,
            horizons=risk.horizon,
            customer_id=columns.customer_id,
            churn=Chance(columns.churn, columns.lower, columns.upper),
            no_return=columns.no_return or Chance(nothing, nothing, nothing),
            by_cause=columns.churn[..., None] if columns.by_cause is None else columns.by_cause.mean,
            status=columns.status,
            totals=tuple(totals),
            level_codes=np.array(codes, np.int64).reshape(len(codes), shape[0]),
            seconds=seconds,
            info={"status": risk.fit.info.status, "messages": list(risk.fit.info.messages), "ci_prob": risk.ci_prob},
        )

    @classmethod
    def failed(cls, model: str, cutoff: str, horizons: tuple[float, ...], customers: StrArray, why: str) -> Forecast:
        """Say that there is none, and why."""
        nothing = np.full((len(customers), len(horizons)), np.nan)
        none = Chance(nothing, nothing, nothing)
        status = np.full(nothing.shape, "refused", dtype=object)
        codes = np.zeros((0, len(customers)), np.int64)
        info: dict[str, Json] = {"status": "failed", "messages": [why]}
        return cls(
            model, cutoff, horizons, customers, none, none, nothing[..., None], status, (), codes, (np.nan, np.nan), info, why
        )  # fmt: skip


# Files -------------------------------------------------------------------------------------------------------------


def key_of(parts: Sequence[object]) -> str:
    """Name of a forecast in a folder: a hash of all that it depends on, the versions of what computes it among it."""
    versions = [f"{name} {version(name)}" for name in _COMPUTED_BY]
    text = "\n".join(str(part) for part in (__version__, _FORMAT, *versions, *parts))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_forecast(path: Path, forecast: Forecast) -> None:
    """Write a forecast at once or not at all; ids are not written, only a hash of them."""
    chances = {
        f"{name}_{part}": getattr(getattr(forecast, name), part)
        for name in ("churn", "no_return")
        for part in ("mean", "lower", "upper")
    }
    arrays: dict[str, np.ndarray] = chances | {
        "by_cause": forecast.by_cause,
        "status": np.array([STATUSES.index(one) for one in forecast.status.ravel()], np.int8).reshape(
            forecast.status.shape
        ),
        "level_codes": forecast.level_codes,
    }
    for k, total in enumerate(forecast.totals):
        arrays |= {f"total{k}_{name}": getattr(total, name) for name in ("expected", "lower", "upper")}
    manifest: dict[str, Json] = {
        "model": forecast.model,
        "cutoff": forecast.cutoff,
        "horizons": list(forecast.horizons),
        "customers": _hash_of(forecast.customer_id),
        "totals": [{"column": total.column, "levels": list(total.levels)} for total in forecast.totals],
        "info": dict(forecast.info),
        "seconds": [None if np.isnan(one) else one for one in forecast.seconds],
    }
    write_at_once(path, pack(manifest, arrays))


def read_forecast(path: Path, customers: StrArray) -> Forecast | None:
    """Read a forecast back; ``None`` where there is no whole file of these customers."""
    try:
        manifest, arrays = unpack(path)
    except (FileNotFoundError, SavedFitError):
        return None
    if manifest.get("customers") != _hash_of(customers):
        return None
    data = cast(dict[str, Any], manifest)
    totals = [
        PredictedTotals(one["column"], tuple(one["levels"]), *(arrays[f"total{k}_{n}"] for n in ("expected", "lower", "upper")))
        for k, one in enumerate(data["totals"])
    ]  # fmt: skip
    chance = {
        name: Chance(*(arrays[f"{name}_{part}"] for part in ("mean", "lower", "upper")))
        for name in ("churn", "no_return")
    }
    return Forecast(
        model=data["model"],
        cutoff=data["cutoff"],
        horizons=tuple(data["horizons"]),
        customer_id=customers,
        churn=chance["churn"],
        no_return=chance["no_return"],
        by_cause=arrays["by_cause"],
        status=np.asarray(STATUSES, dtype=object)[arrays["status"]],
        totals=tuple(totals),
        level_codes=arrays["level_codes"],
        seconds=cast(tuple[float, float], tuple(np.nan if one is None else one for one in data["seconds"])),
        info=data["info"],
    )


def _hash_of(customers: StrArray) -> str:
    return hashlib.sha256("\0".join(customers).encode()).hexdigest()


def causes_of(forecasts: Sequence[Forecast], causes: Sequence[str]) -> tuple[str, ...]:
    """Names of the ways to churn: all together, then each of several."""
    return (ANY, *causes) if len(causes) > 1 else (ANY,)
