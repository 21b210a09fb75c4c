"""What every model and every fit promises; the check that refuses before any work is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray, Json, StrArray
from churnsurv.errors import ModelSupportError, SavedFitError

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
        if set(data) != names or data["status"] not in ("ok", "unreliable", "interrupted"):
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

    def n_at_risk(self, times: FloatArray) -> IntArray:
        """Training spells at risk at the end of the period that holds each time."""

    def new_group(self, rows: PatternRows) -> BoolArray:
        """Rows whose group the fit has never seen."""

    def unseen(self, rows: PatternRows) -> BoolArray:
        """Rows with a level of a fixed effect the fit has never seen."""

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Effects with intervals."""

    def save(self, path: str | Path) -> None:
        """Write the fit to one file, at once or not at all."""


class SurvivalModel(Protocol):
    """A frozen specification that makes fits."""

    supports: ClassVar[frozenset[str]]
    fits_on: ClassVar[Literal["cells", "spells"]]

    def fit(self, table: Any, /, *, rng: int = 0, progress: Progress = False) -> SurvivalFit:
        """Fit to a table."""


SUPPORT: dict[str, tuple[str, frozenset[str]]] = {
    "HierarchicalModel": ("cells", frozenset({"entry", "time_varying", "groups"})),
    "KaplanMeierModel": ("spells", frozenset({"entry"})),
}
"""Table and abilities of each model; what a refusal names as the way out."""

_HINTS = {
    "cells": "CellTable.from_periods(PeriodTable.from_spells(spells)) makes cells.",
    "spells": "SpellTable.from_events(log, window, churn) makes spells.",
    "causes": 'cells.with_cause("return") keeps one cause and lets the others censor.',
}


def _table_kind(table: object) -> str:
    return {"CellTable": "cells", "SpellTable": "spells", "PeriodTable": "periods"}.get(
        type(table).__name__, type(table).__name__
    )


def _needs(table: Any, kind: str) -> frozenset[str]:
    """Abilities a table asks of a model."""
    needed = set()
    if kind == "cells" and table.n_events.shape[1] > 1:
        needed.add("causes")
    if kind == "spells":
        arrays = table.arrays()
        needed |= {"entry"} if np.any(arrays["entry"] > 0) else set()
        needed |= {"causes"} if np.any(arrays["event"] > 1) else set()
    return frozenset(needed)


def check_support(model: SurvivalModel, table: Any) -> None:
    """Refuse, before any work, a table that a model cannot use.

    Parameters
    ----------
    model : SurvivalModel
        The model.
    table : CellTable or SpellTable
        What it would be fitted on.

    Raises
    ------
    ModelSupportError
        If the table is of another kind, or holds something that the model does not support; the message
        names what is missing, what is supported and which model can.
    """
    name, kind = type(model).__name__, _table_kind(table)
    if kind != model.fits_on:
        others = [other for other, (eats, _) in SUPPORT.items() if eats == kind]
        instead = f" {' or '.join(others)} fits on {kind}." if others else ""
        raise ModelSupportError(
            f"{name} fits on {model.fits_on}, and was given {kind}.", hint=_HINTS[model.fits_on] + instead
        )
    missing = _needs(table, kind) - model.supports
    if missing:
        able = [other for other, (_, abilities) in SUPPORT.items() if missing <= abilities]
        hints = [_HINTS[need] for need in sorted(missing) if need in _HINTS] + [f"{one} can." for one in able]
        raise ModelSupportError(
            f"{name} cannot use what the {kind} hold. needed: {', '.join(sorted(missing))}; "
            f"supported: {', '.join(sorted(model.supports))}.",
            consequence="Fitting several causes as one event would answer another question than the one asked."
            if "causes" in missing
            else "",
            hint=" ".join(hints),
        )
