"""What every model and every fit promises; the check that refuses before any work is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, Json, StrArray
from churnsurv.errors import ArgumentError, ModelSupportError, SavedFitError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from churnsurv.tables.schema import CellSchema

Progress = bool | Callable[[float, str], None]
"""Whether to show a bar, or a function of the share done and a sentence."""

INDEPENDENT_GAPS = (
    "a customer's repeated gaps are treated as independent of each other: intervals are too narrow where "
    "customers differ in ways the columns do not say"
)
"""The caveat of every fit without a customer's own frailty."""


class PatternRows(Protocol):
    """Rows that know their covariate pattern: open spells, or cells.

    Attributes
    ----------
    codes : array of shape (n, n_columns)
        Position of each level in ``schema.columns[k].labels``, -1 for one that was never seen.
    """

    @property
    def schema(self) -> CellSchema:
        """Columns and breaks."""

    @property
    def codes(self) -> IntArray:
        """Positions of the levels."""


class ReachedRows(PatternRows, Protocol):
    """Open spells: rows that have reached some time on the clock.

    Attributes
    ----------
    reached : array of shape (n,)
        Days on the clock at the window's end.
    """

    @property
    def reached(self) -> FloatArray:
        """Days reached."""

    @property
    def customer_id(self) -> StrArray:
        """Customers."""


class ValuedRows(PatternRows, Protocol):
    """Rows that know their raw numbers too.

    Attributes
    ----------
    values : tuple of (array of shape (n,) or None)
        Number of each column, NaN where nothing is known yet; ``None`` for a text.
    """

    @property
    def values(self) -> tuple[FloatArray | None, ...]:
        """Numbers by column."""


class EpisodeRows(ValuedRows, Protocol):
    """Rows ``(start, stop]`` with covariates that do not change in them: what row models learn from.

    Attributes
    ----------
    customer_id : array of str, shape (n,)
        Customers: the clusters of robust errors.
    spell : array of shape (n,)
        Number of the spell within its customer.
    start, stop : array of shape (n,)
        Days on the clock, ``0 <= start < stop``.
    event : array of shape (n,)
        0 censored, 1…K the cause that ended the row.
    weight : array of shape (n,) or None
        Frequencies, > 0.
    binned : frozenset of str
        Columns of numbers that enter as the levels of their bins.
    cause : str or None
        The cause that alone counts, where one was chosen.
    n_spells : int
        Spells.
    """

    @property
    def customer_id(self) -> StrArray:
        """Customers."""

    @property
    def spell(self) -> IntArray:
        """Spells."""

    @property
    def start(self) -> FloatArray:
        """Start of each row."""

    @property
    def stop(self) -> FloatArray:
        """Stop of each row."""

    @property
    def event(self) -> IntArray:
        """Causes."""

    @property
    def weight(self) -> FloatArray | None:
        """Frequencies."""

    @property
    def binned(self) -> frozenset[str]:
        """Columns with bins."""

    @property
    def cause(self) -> str | None:
        """Chosen cause."""

    @property
    def n_spells(self) -> int:
        """Spells."""


class NamedRows(PatternRows, Protocol):
    """Rows that know the name of each level, also where it was never seen.

    Attributes
    ----------
    levels : tuple of arrays of shape (n,)
        Level of each column as text.
    """

    @property
    def levels(self) -> tuple[StrArray, ...]:
        """Names of the levels."""


@dataclass(frozen=True)
class FitInfo:
    """How a fit went, and on what.

    Parameters
    ----------
    status : {"ok", "unreliable", "interrupted"}
        ``unreliable``: a limit of the gate is broken; ``interrupted``: stopped by hand.
    rhat_max, ess_min, ebfmi_min, tree_depth_share : float
        Worst over parameters (R-hat, effective draws in bulk and tail), over chains (E-BFMI), and the share of
        draws at the deepest tree. NaN for a model that is not sampled.
    divergences : int
        Divergent transitions after warm-up.
    seconds : float
        Wall time of the fit; NaN for a loaded one.
    n_draws : int
        Draws of all chains together.
    messages : tuple of str
        Sentences for people: what is wrong, and where.
    n_cells, n_spells, n_events : int
        What the fit has seen.
    exposure : float
        Days at risk seen.
    independent_gaps : bool
        Whether a customer's repeated gaps are treated as independent (see :data:`INDEPENDENT_GAPS`).
    fingerprint : str
        SHA-256 of the table the fit was made on.
    cause : str
        The one cause that counted as an event, the others censored; empty where there was nothing to choose.
    method : str
        ``laplace`` where draws come from an approximation; empty for what is exact or was sampled.
    pareto_k : float
        Pareto-k̂ of the approximation's importance weights; above 0.7 it is ``unreliable``. NaN without one.

    Examples
    --------
    >>> FitInfo(status="ok", n_draws=4000).reliable
    True
    """

    status: Literal["ok", "unreliable", "interrupted"]
    rhat_max: float = math.nan
    ess_min: float = math.nan
    divergences: int = 0
    ebfmi_min: float = math.nan
    tree_depth_share: float = math.nan
    seconds: float = field(default=math.nan, compare=False)
    n_draws: int = 1
    messages: tuple[str, ...] = ()
    n_cells: int = 0
    n_spells: int = 0
    n_events: int = 0
    exposure: float = 0.0
    independent_gaps: bool = True
    fingerprint: str = ""
    cause: str = ""
    method: str = ""
    pareto_k: float = math.nan

    @property
    def reliable(self) -> bool:
        """Whether the fit passed its gate."""
        return self.status == "ok"

    def to_json(self) -> dict[str, Json]:
        """Return what a manifest holds: all but the seconds, so that equal fits make equal files."""
        data = {key: _finite_or_none(value) for key, value in asdict(self).items() if key != "seconds"}
        return {**data, "messages": list(self.messages)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> FitInfo:
        """Read the info back from a manifest."""
        names = set(cls.__dataclass_fields__) - {"seconds"}
        if not set(data) <= names or data.get("status") not in ("ok", "unreliable", "interrupted"):
            raise SavedFitError("the saved fit's info does not have the fields it should have.")
        settings = {key: math.nan if value is None else value for key, value in data.items()}
        messages = tuple(str(line) for line in cast(list[str], settings.pop("messages")))
        return replace(cls(status="ok"), **cast(dict[str, Any], settings), messages=messages)


def _finite_or_none(value: Json) -> Json:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@runtime_checkable
class SurvivalFit(Protocol):
    """What risk, report and plots may ask of any fit."""

    @property
    def model(self) -> Any:
        """Specification that made the fit."""

    @property
    def info(self) -> FitInfo:
        """Gate and data report."""

    @property
    def schema(self) -> CellSchema:
        """Columns, breaks and definition the fit was made with."""

    @property
    def posterior(self) -> xr.DataTree:
        """Draws by name, with dims ``chain`` and ``draw`` first."""

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """S(until) / S(reached) by draw, shape (n_draws, n, k)."""

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Name of the new group of each row, empty for a known one."""

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """The same for customers of new groups, at a quantile (n_draws, n) of the effect that a group shares."""

    def n_at_risk(self, times: FloatArray, rows: PatternRows | None = None) -> IntArray:
        """Training spells at risk at each time, or at the end of the period that holds it; of the rows' strata.

        With ``rows``, ``times`` has one entry (or one row of entries) for each of them; a fit without strata takes
        no notice of them.
        """

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows whose group the fit has never seen."""

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level of a fixed effect the fit has never seen."""

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects with intervals."""

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all."""


FitsOn = Literal["cells", "spells", "episodes", "periods"]
"""Table a model learns from. Episodes and whole periods are made of periods or spells where these are given."""


class SurvivalModel(Protocol):
    """A frozen specification that makes fits."""

    supports: ClassVar[frozenset[str]]

    @property
    def fits_on(self) -> FitsOn:
        """Table that the model learns from."""

    def fit(self, table: Any, /, *, rng: int = 0, progress: Progress = False) -> SurvivalFit:
        """Fit to a table."""


SUPPORT: dict[str, tuple[str, frozenset[str]]] = {
    "HierarchicalModel": ("cells", frozenset({"entry", "time_varying", "groups", "weights", "interval"})),
    "KaplanMeierModel": ("spells", frozenset({"entry"})),
    "CoxModel": ("episodes", frozenset({"entry", "time_varying", "weights", "strata"})),
    "WeibullModel": ("episodes", frozenset({"entry", "time_varying", "weights", "interval"})),
    "DiscreteHazardModel": ("periods", frozenset({"entry", "weights"})),
}
"""Table and abilities of each model; what a refusal names as the way out."""

_HINTS = {
    "cells": "CellTable.from_periods(PeriodTable.from_spells(spells)) makes cells.",
    "spells": "SpellTable.from_events(log, window, churn) makes spells.",
    "episodes": "PeriodTable.from_spells(spells, features=[...]) makes rows with covariates; spells do without.",
    "periods": "PeriodTable.from_spells(spells, features=[...]) makes periods.",
}
_EATEN = {
    "cells": ("cells",),
    "spells": ("spells",),
    "episodes": ("episodes", "periods", "spells"),
    "periods": ("whole periods", "periods", "spells"),
}


def _table_kind(table: object) -> str:
    kinds = {
        "CellTable": "cells",
        "SpellTable": "spells",
        "PeriodTable": "periods",
        "Episodes": "episodes",
        "PersonPeriods": "whole periods",
    }
    return kinds.get(type(table).__name__, type(table).__name__)


def _needs(table: Any, kind: str) -> frozenset[str]:
    """Abilities a table asks of a model."""
    needed = set()
    if kind == "cells" and table.n_events.shape[1] > 1:
        needed.add("causes")
    if kind == "periods":
        return _needs(table.spells, "spells")
    if kind == "spells":
        arrays = table.arrays()
        needed |= {"entry"} if np.any(arrays["entry"] > 0) else set()
        needed |= {"causes"} if np.any(arrays["event"] > 1) else set()
        needed |= {"weights"} if "weight" in arrays else set()
    if kind in ("episodes", "whole periods"):
        needed |= {"weights"} if table.weight is not None else set()
        needed |= {"causes"} if np.any(table.event > 1) else set()
    return frozenset(needed)


def _one_cause(table: Any, kind: str) -> str:
    """How to keep one cause of a table, as a call."""
    owner = table.spells if kind == "periods" else table.schema if hasattr(table, "schema") else table
    table_of = {"periods": "Episodes.from_periods(periods)", "whole periods": "rows"}.get(kind, kind)
    return f'{table_of}.with_cause("{owner.churn.causes[0]}") keeps one cause and lets the others censor.'


def check_support(model: SurvivalModel, table: Any) -> None:
    """Refuse, before any work, a table that a model cannot use.

    Parameters
    ----------
    model : SurvivalModel
        The model.
    table : CellTable, SpellTable, PeriodTable or Episodes
        What it would be fitted on.

    Raises
    ------
    ModelSupportError
        If the table is of another kind, or holds something that the model does not support; the message
        names what is missing, what is supported and which model can.
    """
    name, kind = type(model).__name__, _table_kind(table)
    if kind not in _EATEN[model.fits_on]:
        others = [other for other, (eats, _) in SUPPORT.items() if kind in _EATEN[eats]]
        instead = f" {' or '.join(others)} fits on {kind}." if others else ""
        raise ModelSupportError(
            f"{name} fits on {model.fits_on}, and was given {kind}.", hint=_HINTS[model.fits_on] + instead
        )
    missing = _needs(table, kind) - model.supports
    if missing:
        able = [other for other, (eats, abilities) in SUPPORT.items() if missing <= abilities and kind in _EATEN[eats]]
        hints = [_one_cause(table, kind)] if "causes" in missing else []
        raise ModelSupportError(
            f"{name} cannot use what the {kind} hold. needed: {', '.join(sorted(missing))}; "
            f"supported: {', '.join(sorted(model.supports))}.",
            consequence="Fitting several causes as one event would answer another question than the one asked."
            if "causes" in missing
            else "",
            hint=" ".join(hints + [f"{one} can." for one in able]),
        )


def check_rounded(rounded: object, name: str) -> None:
    """Refuse days of rounding that are no days.

    Raises
    ------
    ArgumentError
        With the call to write.
    """
    number = isinstance(rounded, (int, float)) and not isinstance(rounded, bool)
    if rounded is not None and not (number and 0 < cast(float, rounded) < math.inf):
        raise ArgumentError(
            f"rounded={rounded!r} is not a number of days above 0.",
            hint=f"{name}(..., rounded=30.4375) for events that are known to the month; leave it out otherwise.",
        )


def check_spacing(times: FloatArray, rounded: float | None, name: str) -> None:
    """Refuse event times that lie closer together than they are said to be known.

    Parameters
    ----------
    times : array of shape (n,)
        Distinct times of events, increasing.
    rounded : float or None
        Days.
    name : str
        Model.

    Raises
    ------
    ArgumentError
        Naming the closest pair.
    """
    gaps = np.diff(times)
    if rounded is not None and len(gaps) and gaps.min() < rounded * (1 - 1e-6):
        k = int(np.argmin(gaps))
        raise ArgumentError(
            f"events at {times[k]:g} and {times[k + 1]:g} days lie closer than rounded={rounded:g} days.",
            consequence="Times that are told apart are known better than that.",
            hint=f"{name}(..., rounded={gaps.min():g}), or leave it out.",
        )


def check_fitted(fit: object) -> None:
    """Refuse a model that has not been fitted where a fit is needed.

    Raises
    ------
    ArgumentError
        With the call to write.
    """
    if not hasattr(fit, "conditional_survival"):
        name = type(fit).__name__
        raise ArgumentError(
            f"{name} is no fit: nothing has been learnt yet." if hasattr(fit, "fit") else f"{name} is no fit.",
            hint=f"write {name}(…).fit(table) first."
            if hasattr(fit, "fit")
            else "pass what model.fit(table) returned.",
        )


def needs_history(fit: object) -> bool:
    """Whether a customer's own past moves what a fit says of her: rows then need their ``history``."""
    return bool(getattr(fit, "uses_history", False))


def carries_months(fit: object) -> bool:
    """Whether a fit says by itself what the months ahead may be: rows then need not know their month."""
    return bool(getattr(fit, "carries_months", False))


class Groupless:
    """What a fit without group effects answers when it is asked about groups."""

    def new_group(self, rows: PatternRows) -> BoolArray:
        """No row, shape (n,): there are no groups."""
        return np.zeros(len(rows.codes), bool)

    def new_group_name(self, rows: NamedRows) -> StrArray:
        """Nothing, shape (n,): there are no groups."""
        return np.full(len(rows.codes), "", dtype=object)

    def joint_survival(
        self, rows: ReachedRows, until: FloatArray, quantile: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """``conditional_survival``: there are no groups whose effect customers could share."""
        return cast(SurvivalFit, self).conditional_survival(rows, until, draws=draws)
