"""One row per spell and period: where it was at risk, for how long, and what was known."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from churnsurv._validate import check_choice
from churnsurv.errors import ArgumentError, BreaksError, FeatureError
from churnsurv.tables.cells import Unallocated
from churnsurv.tables.covariates import arrivals_of, check_covariates, known_at
from churnsurv.tables.engines import Relation, quote
from churnsurv.tables.features import Feature
from churnsurv.tables.histories import longest_lookback
from churnsurv.tables.parts import MONTH, cut_parts, landmark_parts, spaced_landmarks, whole_parts
from churnsurv.tables.period_rows import PeriodRows
from churnsurv.tables.schema import AsOf, read_edges
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import DAY_US, resolve_moment

if TYPE_CHECKING:
    import pandas as pd

Calendar = Literal["month"]


@dataclass(frozen=True, eq=False)
class PeriodTable:
    """One row per spell and period: ``customer_id, spell, period, start, stop, exposure, event``, then features.

    Intervals are ``(start, stop]`` in days on the clock. Features are as of the spell's start (up to and
    including the activity that opened it; the moment of entry where it enters late), of each period's start, or of a
    landmark, as ``as_of`` says; null where nothing is known yet. A fact that arrives (:class:`Arrival`) and a calendar
    month split the row. The rows are a query over the spells: they are not stored.

    Parameters
    ----------
    spells : SpellTable
        Where the periods came from.
    breaks : tuple of float
        Period edges in days; period j is ``(breaks[j], breaks[j + 1]]``.
    features : tuple of Feature
        Declarations.
    as_of : {"spell", "period", "landmark"}
        Moment at which features are taken.
    known : Relation
        One row per moment: ``key``, ``known`` and the features that are frozen there.
    parts : Relation or None
        Spells cut at landmarks, arrivals and months; ``None`` where they are whole.
    unallocated : tuple of Unallocated
        Time at risk and events that fall in no period.
    n_rows : int
        Number of person-periods.
    landmarks : tuple of int
        Moments in microseconds UTC.
    reach : float or None
        Days that each landmark is followed.
    calendar : {"month", None}
        Whether rows are split on calendar months, in the column ``calendar_month``.
    """

    spells: SpellTable
    breaks: tuple[float, ...]
    features: tuple[Feature, ...]
    as_of: AsOf
    known: Relation
    parts: Relation | None
    unallocated: tuple[Unallocated, ...]
    n_rows: int
    landmarks: tuple[int, ...] = ()
    reach: float | None = None
    calendar: Calendar | None = None

    @classmethod
    def from_spells(
        cls,
        spells: SpellTable,
        *,
        breaks: Sequence[float] | None = None,
        features: Sequence[Feature] | None = None,
        as_of: AsOf = "spell",
        calendar: Calendar | None = None,
    ) -> PeriodTable:
        """Split spells at period edges and attach what was known.

        Parameters
        ----------
        spells : SpellTable
            Times at risk.
        breaks : sequence of float, optional
            Period edges in days, increasing from 0; a microsecond is the smallest unit. By default
            edges that suit the definition, reaching to the longest time that can be seen.
        features : sequence of Feature, optional
            Declarations; nothing else can put a covariate on a row. By default none, or the columns that came with
            durations.
        as_of : {"spell", "period"}
            Take features when the spell opens, or anew at each period's start. The second explains;
            it does not predict beyond one period.
        calendar : {"month", None}
            Split rows on the months of the log's zone too (a Lexis split).

        Returns
        -------
        PeriodTable
            Events and exposure are conserved; what lies outside the breaks is ``unallocated``.

        Raises
        ------
        BreaksError
            If breaks are not finite, increasing and >= 0.
        FeatureError, UnknownKindError
            If a feature asks for what the spells do not hold.
        ArgumentError
            If the spells count a single cause, or carry weights.
        """
        check_choice(as_of, "as_of", ("spell", "period"))
        _check_calendar(spells, calendar)
        _check_countable(spells)
        edges = check_breaks(_default_breaks(spells) if breaks is None else breaks)
        declared = _declared(spells, features)
        if as_of == "period" and spells.log is None:
            raise ArgumentError(
                'as_of="period" asks for features that move, and durations came with one value each.',
                hint="leave as_of out, or make the spells from a log.",
            )
        arrivals = arrivals_of(declared)
        parts = None
        if arrivals or calendar:
            parts = cut_parts(spells, whole_parts(spells), arrivals, months=calendar is not None)
        table = PeriodRows(spells, edges, parts)
        at = spells.opening_kind if as_of == "spell" else None
        known = known_at(spells, declared, table.moments(as_of), at=at)
        n_rows, unallocated = table.conserve()
        return cls(spells, edges, declared, as_of, known, parts, unallocated, n_rows, calendar=calendar)

    @classmethod
    def from_landmarks(
        cls,
        spells: SpellTable,
        *,
        horizon: float,
        landmarks: Sequence[str | dt.date | dt.datetime] | None = None,
        spacing: float | None = None,
        breaks: Sequence[float] | None = None,
        features: Sequence[Feature] = (),
        calendar: Calendar | None = None,
    ) -> PeriodTable:
        """Freeze features at calendar dates and follow whoever is at risk there for ``horizon`` days.

        The way to predict with features that move (van Houwelingen 2007): at each landmark a customer's features are
        what was known strictly before it, and the next ``horizon`` days are the outcome. The clock stays that of the
        definition, so rows enter late. Landmarks lie ``horizon`` apart unless told otherwise, so that no exposure
        counts twice.

        Parameters
        ----------
        spells : SpellTable
            Spells of a log.
        horizon : float
            Days that each landmark is followed, > 0; risk is told at most so far ahead.
        landmarks : sequence of str, date or datetime, optional
            Dates (midnight in the log's zone) or moments inside the window. By default every ``spacing`` days,
            counted back from the window's end.
        spacing : float, optional
            Days between landmarks; ``horizon`` by default.
        breaks, features, calendar
            As in :meth:`from_spells`; facts that arrive are written as :class:`Recency` or :class:`Value` here.

        Returns
        -------
        PeriodTable
            With ``as_of="landmark"``. Events and exposure between landmarks are ``unallocated``.

        Raises
        ------
        ArgumentError
            If landmarks are closer than the horizon, outside the window, or none.
        DefinitionError
            If the spells are durations, which have no calendar.

        References
        ----------
        .. [1] van Houwelingen, H. C. (2007). Dynamic prediction by landmarking in event history analysis.
           *Scandinavian Journal of Statistics*, 34, 70–85.
        """
        spells.observed()
        _check_calendar(spells, calendar)
        _check_countable(spells)
        moments = _landmarks(spells, horizon, landmarks, spacing)
        edges = check_breaks(_default_breaks(spells) if breaks is None else breaks)
        declared = _declared(spells, features)
        if arrivals_of(declared):
            raise FeatureError(
                f"{arrivals_of(declared)[0].name} arrives while a row is at risk, and features at landmarks stand still.",
                hint='write Recency("delivery", days=60) or Value("delivery", "delay", days=60).',
            )
        base = landmark_parts(spells, moments, round(horizon * DAY_US))
        parts = cut_parts(spells, base, (), months=True) if calendar else spells.engine.create("parts", base)
        table = PeriodRows(spells, edges, parts, moments)
        known = known_at(spells, declared, table.moments("landmark"))
        n_rows, unallocated = table.conserve()
        return cls(
            spells, edges, declared, "landmark", known, parts, unallocated, n_rows, moments, float(horizon), calendar
        )  # fmt: skip

    @property
    def rows_sql(self) -> str:
        """Query of the rows without features that are frozen; see :class:`PeriodRows`."""
        return PeriodRows(self.spells, self.breaks, self.parts, self.landmarks).sql

    @property
    def key_sql(self) -> str:
        """SQL text of a row ``p``'s key in ``known``."""
        return PeriodRows(self.spells, self.breaks, self.parts, self.landmarks).key(self.as_of, "p")

    @property
    def moving(self) -> tuple[str, ...]:
        """Columns that rows carry themselves: facts that arrive, and the month."""
        return (*(f.name for f in arrivals_of(self.features)), *((MONTH,) if self.calendar else ()))

    @property
    def sql(self) -> str:
        """Query of the rows: ``id, period, start_us, stop_us, event, first, at_stop, known`` and the features."""
        frozen = [f.name for f in self.features if f.name not in self.moving]
        names = "".join(f", k.{quote(name)}" for name in frozen)
        return f"SELECT p.*, k.known{names} FROM ({self.rows_sql}) p JOIN {quote(self.known.name)} k ON k.key = {self.key_sql}"

    def frame(self) -> pd.DataFrame:
        """All rows as a pandas frame, ordered by customer, spell and start."""
        return self._frame("")

    def head(self, n: int = 5) -> pd.DataFrame:
        """First rows in the order of :meth:`frame`."""
        return self._frame(f" LIMIT {int(n)}")

    def _frame(self, tail: str) -> pd.DataFrame:
        names = [feature.name for feature in self.features] + ([MONTH] if self.calendar else [])
        columns = "".join(f", {quote(name)}" for name in names)
        return self.spells.engine.frame(
            f"SELECT customer_id, spell, period, start_us / {DAY_US}.0 AS start, stop_us / {DAY_US}.0 AS stop,"
            f" (stop_us - start_us) / {DAY_US}.0 AS exposure, event{columns} FROM ({self.sql})"
            f" ORDER BY customer_id, spell, start_us{tail}"
        )

    def __repr__(self) -> str:
        """One line: how many rows, which periods and features."""
        names = ", ".join(feature.name for feature in self.features) or "none"
        marks = f" at {len(self.landmarks)} landmarks" if self.landmarks else ""
        return (
            f"PeriodTable({self.n_rows:,} person-periods{marks} in {len(self.breaks) - 1} periods; features: {names})"
        )


def _default_breaks(spells: SpellTable) -> tuple[float, ...]:
    """Edges that suit the definition; of durations in whole units, whole units: an event stays with its exposure."""
    edges = spells.churn.default_breaks(spells.longest())
    if not spells.grain:
        return edges
    whole = sorted({max(round(edge / spells.grain), k > 0) * spells.grain for k, edge in enumerate(edges)})
    return tuple(whole) if whole[-1] >= spells.longest() else (*whole, whole[-1] + spells.grain)


def _check_countable(spells: SpellTable) -> None:
    if spells.cause is not None:
        raise ArgumentError(
            f"these spells count the {spells.cause} alone.",
            hint=f"keep every cause here, and choose one later: cells.with_cause({spells.cause!r}).",
        )


def _check_calendar(spells: SpellTable, calendar: str | None) -> None:
    if calendar is not None:
        check_choice(calendar, "calendar", ("month",))
        spells.observed()


def _declared(spells: SpellTable, features: Sequence[Feature] | None) -> tuple[Feature, ...]:
    if features is None:
        features = spells.baseline
    declared = (features,) if isinstance(features, Feature) else tuple(features)
    check_covariates(spells, declared)
    return declared


def _landmarks(
    spells: SpellTable,
    horizon: float,
    landmarks: Sequence[str | dt.date | dt.datetime] | None,
    spacing: float | None,
) -> tuple[int, ...]:
    """Moments of the landmarks, checked."""
    for name, days in (("horizon", horizon), ("spacing", spacing)):
        if days is not None and not (isinstance(days, (int, float)) and math.isfinite(days) and days > 0):
            raise ArgumentError(f"{name}={days!r} is not a positive number of days.", hint=f"write {name}=90.")
    if landmarks is not None and spacing is not None:
        raise ArgumentError("landmarks and spacing are both given.", hint="state one of them.")
    if landmarks is None:
        moments = spaced_landmarks(spells, horizon if spacing is None else spacing)
    else:
        moments = tuple(sorted(resolve_moment(one, spells.timezone, "landmark") for one in landmarks))
    inside = [moment for moment in moments if spells.start_us < moment < spells.end_us]
    if not moments or len(inside) < len(moments) - (moments[:1] == (spells.start_us,)):
        raise ArgumentError(
            f"{len(moments) - len(inside)} of {len(moments)} landmarks lie outside the window, or there is none.",
            hint="landmarks lie after the window's start and before its end; use a shorter horizon or a longer log.",
        )
    close = [a for a, b in itertools.pairwise(inside) if b - a < round(horizon * DAY_US)]
    if close:
        raise ArgumentError(
            f"{len(close)} of {len(inside)} landmarks are followed by another within the horizon of {horizon:g} days.",
            consequence="The same days at risk, and the same events, would count twice.",
            hint=f"use spacing={horizon:g} or more, or a shorter horizon.",
        )
    return tuple(inside)


def check_breaks(breaks: Sequence[float]) -> tuple[float, ...]:
    """Refuse period edges that are no increasing finite numbers from 0 upwards.

    Raises
    ------
    BreaksError
        Naming the first pair out of order.

    Examples
    --------
    >>> check_breaks([0, 30, 90])
    (0.0, 30.0, 90.0)
    """
    edges = read_edges(breaks)
    if len(edges) < 2 or edges[0] < 0 or not all(math.isfinite(edge) for edge in edges):
        raise BreaksError(
            f"breaks={breaks!r} are not at least two finite numbers >= 0.", hint="write breaks=[0, 30, 90]."
        )
    for low, high in itertools.pairwise(edges):
        if round(high * DAY_US) <= round(low * DAY_US):
            raise BreaksError(
                f"breaks do not increase: {low:g} is followed by {high:g}.", hint="write breaks=[0, 30, 90]."
            )
    return edges


def lookback_reason(features: Sequence[Feature]) -> str:
    """Why a spell near the window's start has no features."""
    if arrivals_of(features) and not longest_lookback(features):
        return "began before the window: what had arrived by then is not known"
    return (
        f"opened less than {longest_lookback(features):g} days after the window's start: the look-back is not covered"
    )
