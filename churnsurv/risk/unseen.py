"""Levels that a fit has never seen, by name: why some customers have no risk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import BoolArray
from churnsurv.models.competing import CompetingFits

if TYPE_CHECKING:
    from churnsurv.models.base import SurvivalFit
    from churnsurv.tables.open_spells import OpenSpells

_SHOWN = 3
"""Levels that a sentence names."""


class Unseen:
    """Counts customers by the column whose level, or number, a fit cannot say anything of.

    Parameters
    ----------
    fit : SurvivalFit
        The fit, or one for each cause.
    """

    def __init__(self, fit: SurvivalFit) -> None:
        self.levels: dict[str, Counter[str]] = {}
        self.known: dict[str, set[str]] = {}
        self.numbers: set[str] = set()
        for one in fit.fits.values() if isinstance(fit, CompetingFits) else (fit,):
            self._learn(one)

    def _learn(self, fit: Any) -> None:
        """Levels of fixed effects that a fit knows; of several fits, those that all of them know."""
        columns = fit.schema.columns
        for effects in _effects(fit):
            for k, codes in effects.known.items():
                known = {columns[k].labels[code] for code in codes}
                self.known[columns[k].name] = self.known.get(columns[k].name, known) & known
        self.numbers |= {columns[k].name for k in _numbers(fit)}

    def add(self, batch: OpenSpells, asked: BoolArray) -> None:
        """Count those of a batch who are asked about."""
        for column, levels, values in zip(batch.schema.columns, batch.levels, batch.values, strict=True):
            if column.name in self.numbers and values is not None:
                missing = int(np.sum(~np.isfinite(values) & asked))
                self._count(column.name, {"not known": missing} if missing else {})
            elif column.name in self.known:
                found = Counter(levels[asked].tolist())
                self._count(
                    column.name, {level: n for level, n in found.items() if level not in self.known[column.name]}
                )

    def _count(self, name: str, found: dict[str, int]) -> None:
        if found:
            self.levels.setdefault(name, Counter()).update(found)

    def sentences(self, n: int) -> tuple[str, ...]:
        """One for each column, with what can be done about it; ``n`` customers were asked about.

        Returns
        -------
        tuple of str
            Empty where everybody's levels are known.
        """
        return tuple(self._sentence(name, found, n) for name, found in self.levels.items())

    def _sentence(self, name: str, found: Counter[str], n: int) -> str:
        shown = ", ".join(level if name in self.numbers else repr(level) for level, _ in found.most_common(_SHOWN))
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        told = f"{found.total():,} of {n:,} customers have a {name} that the fit has never seen ({shown}{more})"
        if name in self.numbers:
            return f"{found.total():,} of {n:,} customers have no {name}: their risk could not be told (refused)."
        return (
            f"{told}: their risk could not be told (refused). As a group, HierarchicalModel(groups=({name!r},)), a level"
            " that was never seen counts as one more like the others."
        )


def _effects(fit: Any) -> list[Any]:
    """Fixed effects of a fit of any kind."""
    designs = [getattr(fit, name, None) for name in ("design", "shape_design")]
    found = [design.effects for design in designs if design is not None]
    own = getattr(fit, "effects", None)
    return found if found or not hasattr(own, "known") else [own]


def _numbers(fit: Any) -> set[int]:
    """Columns that a fit takes as numbers."""
    designs = [getattr(fit, name, None) for name in ("design", "shape_design")]
    found = {k for design in designs if design is not None for k in design.numbers}
    terms = getattr(getattr(fit, "structure", None), "terms", None)
    return found | set(getattr(terms, "numbers", ()))
