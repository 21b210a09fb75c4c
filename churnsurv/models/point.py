"""What fits without draws have in common: one chain of one draw, no groups, nothing unseen, nothing to be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, IntArray
from churnsurv.errors import ArgumentError, ModelSupportError
from churnsurv.models.base import FitInfo, Groupless, PatternRows, ReachedRows
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class PointFit(Groupless, ABC):
    """A fit that gives one number, and no uncertainty.

    Attributes
    ----------
    model : Any
        The specification.
    schema : CellSchema
        Definition, clock and columns.
    info : FitInfo
        Data report; nothing was sampled.
    """

    caveat: ClassVar[str] = ""
    """What must be read beside every number of it."""

    model: Any
    schema: CellSchema
    info: FitInfo

    @abstractmethod
    def _stays(self, rows: ReachedRows, until: FloatArray) -> FloatArray:
        """Probability of no event between the days reached and ``until``, shape (n, k)."""

    @property
    def n_draws(self) -> int:
        """One: a point estimate."""
        return 1

    @property
    def posterior(self) -> xr.DataTree:
        """Nothing, with size-1 ``chain`` and ``draw``."""
        from churnsurv.models.hierarchical.sampling import posterior_tree

        return posterior_tree({}, {}, {})

    def conditional_survival(
        self, rows: ReachedRows, until: FloatArray, *, draws: IntArray | None = None
    ) -> FloatArray:
        """S(until) / S(reached), shape (1, n, k) or (len(draws), n, k); one where ``until <= reached``.

        Parameters
        ----------
        rows : OpenSpells
            n customers.
        until : array of shape (n, k)
            Days on the clock.
        draws : array of int, optional
            Zeros: there is one draw.
        """
        if draws is not None and np.any(np.asarray(draws) != 0):
            raise ArgumentError(f"a fit of {type(self.model).__name__} has one draw, number 0.")
        reached = np.asarray(rows.reached, float)[:, None]
        until = np.maximum(np.asarray(until, float), reached)
        survival = np.where(until <= reached, 1.0, self._stays(rows, until))
        return np.broadcast_to(survival, (1 if draws is None else len(draws), *survival.shape)).copy()

    def unseen(self, rows: PatternRows) -> BoolArray:
        """No row."""
        return np.zeros(len(rows.codes), bool)

    def summary(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """Return an empty frame: there are no effects."""
        import pandas as pd

        names = ["column", "level", "reference", "hazard_ratio", "lower", "upper", "n_events", "exposure", "unpooled"]
        return pd.DataFrame(columns=names).assign(ci_kind="eti", ci_prob=ci_prob)

    def save(self, path: str | Path) -> NoReturn:
        """Refuse: what is learnt here is learnt again in a moment.

        Raises
        ------
        ModelSupportError
            Always.
        """
        raise ModelSupportError(
            f"a fit of {type(self.model).__name__} is not saved.",
            hint="fit again where it is needed; or save a hierarchical, Cox or Weibull fit.",
        )
