"""From spells to a fit: a model together with the table that it learns from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from churnsurv.errors import ArgumentError
from churnsurv.models.competing import CompetingFits
from churnsurv.models.grammar import nearest
from churnsurv.tables.bins import Bins
from churnsurv.tables.cells import CellTable
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.features import Feature
from churnsurv.tables.periods import Calendar, PeriodTable
from churnsurv.tables.person_periods import PersonPeriods
from churnsurv.tables.schema import AsOf
from churnsurv.tables.spells import SpellTable

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit, SurvivalModel

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Recipe:
    """A model, and how the table it learns from is made of spells.

    Parameters
    ----------
    model : SurvivalModel, or mapping of str to SurvivalModel
        Settings to fit, for all causes alike or one for each. Rows are split on calendar months where a model asks for
        them (``calendar=True``).
    features, bins, breaks
        As for :class:`PeriodTable`, :class:`CellTable` and :class:`Episodes`.
    as_of : {"spell", "landmark"}
        Features as of the spell's start, or frozen at landmarks.
    settings : mapping
        Passed on to the fit of each model: ``{"method": "laplace"}``, ``{"draws": 500}``.

    Examples
    --------
    >>> from churnsurv import Count, CoxModel
    >>> Recipe(CoxModel("count_order_90d"), features=(Count("order", days=90),)).as_of
    'spell'
    """

    model: SurvivalModel | Mapping[str, SurvivalModel]
    features: tuple[Feature, ...] = ()
    bins: Bins | None = None
    breaks: tuple[float, ...] | None = None
    as_of: AsOf = "spell"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check once."""
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "breaks", None if self.breaks is None else tuple(self.breaks))
        if self.as_of not in ("spell", "landmark"):
            raise ArgumentError(
                f"as_of={self.as_of!r} cannot predict.",
                hint='as_of="spell" takes features when the spell opens, as_of="landmark" anew at each cutoff.',
            )
        models = list(self.model.values()) if isinstance(self.model, Mapping) else [self.model]
        _check_settings(self.settings, models)

    @property
    def description(self) -> str:
        """All settings as text: equal for recipes that do the same."""
        models = self.model.items() if isinstance(self.model, Mapping) else [("", self.model)]
        parts = [f"{cause}{_described(model)}" for cause, model in models]
        return "\n".join(
            [*parts, repr((self.features, self.bins, self.breaks, self.as_of, sorted(self.settings.items())))]
        )

    def models(self, causes: Sequence[str]) -> dict[str, SurvivalModel]:
        """Model of each cause.

        Raises
        ------
        ArgumentError
            If one has none.
        """
        given = self.model if isinstance(self.model, Mapping) else dict.fromkeys(causes, self.model)
        missing = [cause for cause in causes if cause not in given]
        if missing:
            raise ArgumentError(f"there is no model of {missing[0]!r}.", hint=f"causes are: {', '.join(causes)}.")
        return {cause: given[cause] for cause in causes}

    def fit(self, spells: SpellTable, *, horizon: float, rng: int = 0, progress: Progress | None = None) -> SurvivalFit:
        """Make the table and fit; of several causes one fit each, put together.

        Parameters
        ----------
        spells : SpellTable
            What was known.
        horizon : float
            Days that landmarks are followed.
        rng : int
            Seed.
        progress : callable, optional
            Told the share done and what is being done.
        """
        models = self.models(spells.churn.causes)
        months: Calendar | None = "month" if any(getattr(one, "calendar", False) for one in models.values()) else None
        periods = self._periods(spells, horizon if self.as_of == "landmark" else None, months)
        tables: dict[tuple[object, ...], Any] = {}
        fits = {}
        for k, (cause, model) in enumerate(models.items()):
            key = (model.fits_on, getattr(model, "steps", None))
            if key not in tables:
                customers = any(getattr(one, "needs_customers", False) for one in models.values())
                tables[key] = self._table(model, spells, periods, customers=customers)
            table = tables[key] if len(models) == 1 else tables[key].with_cause(cause)
            fits[cause] = model.fit(table, rng=rng, progress=_share(progress, k, len(models)), **self.settings)
        return next(iter(fits.values())) if len(fits) == 1 else CompetingFits(fits)

    def _periods(self, spells: SpellTable, followed: float | None, calendar: Calendar | None) -> PeriodTable:
        if followed is None:
            return PeriodTable.from_spells(spells, breaks=self.breaks, features=self.features, calendar=calendar)
        return PeriodTable.from_landmarks(
            spells, horizon=followed, breaks=self.breaks, features=self.features, calendar=calendar
        )

    def _table(
        self, model: SurvivalModel, spells: SpellTable, periods: PeriodTable, *, customers: bool
    ) -> CellTable | Episodes | PersonPeriods | SpellTable:
        if model.fits_on == "cells":
            return CellTable.from_periods(periods, bins=self.bins, customers=customers)
        if model.fits_on == "episodes":
            return Episodes.from_periods(periods, bins=self.bins)
        if model.fits_on == "periods":
            return PersonPeriods.from_periods(periods, steps=getattr(model, "steps", None))
        return spells


def _check_settings(settings: Mapping[str, Any], models: Sequence[SurvivalModel]) -> None:
    """Refuse what some model's fit does not take, before any work."""
    for model in models:
        taken = [name for name in inspect.signature(model.fit).parameters if name not in ("table", "rng", "progress")]
        bad = [name for name in settings if name not in taken]
        if bad:
            near = {nearest(str(name), taken) or name: value for name, value in settings.items()}
            meant = f"settings={near!r}; " if set(near) <= set(taken) else ""
            own = " rng= and progress= are arguments of the check itself." if {"rng", "progress"} & set(bad) else ""
            raise ArgumentError(
                f"{len(bad)} of {len(settings)} settings are none of {type(model).__name__}.fit: {', '.join(map(str, bad))}.",
                column="settings",
                hint=f"{meant}settings are: {', '.join(taken) or 'none'}.{own}",
            )


def _described(model: Any) -> str:
    """A model with all its settings; scikit-learn's own text leaves some out."""
    if not hasattr(model, "get_params"):
        return repr(model)
    settings = {name: value for name, value in model.get_params(deep=True).items() if not hasattr(value, "get_params")}
    return f"{type(model).__name__}({type(getattr(model, 'estimator', model)).__name__}, {sorted(settings.items(), key=str)})"


def _share(progress: Progress | None, k: int, n: int) -> Progress | bool:
    """Progress of the k-th of n fits."""
    if progress is None:
        return False
    return lambda done, text: progress((k + done) / n, text)
