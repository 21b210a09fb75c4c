"""A fit whose draws are given: hazards per draw and period, times a factor per level of the first column."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from churnsurv.models.base import FitInfo
from churnsurv.tables.schema import UNSEEN, CellSchema


@dataclass(frozen=True, eq=False)
class ExactFit:
    """``hazard`` (n_draws, n_periods) in events a day, ``factor`` (n_draws, n_levels) of the first column."""

    schema: CellSchema
    hazard: np.ndarray
    factor: np.ndarray
    info: FitInfo
    at_risk: int = 1000

    model = SimpleNamespace(fits_on="cells")

    @property
    def n_draws(self):
        return len(self.hazard)

    def cumulative(self, times, draws):
        edges = np.asarray(self.schema.breaks)
        hazard = self.hazard[draws]
        total = np.zeros((len(draws), *times.shape))
        for j, (low, high) in enumerate(itertools.pairwise(edges)):
            total += np.multiply.outer(hazard[:, j], np.clip(times, low, high) - low)
        return total

    def conditional_survival(self, rows, until, *, draws=None):
        draws = np.arange(self.n_draws) if draws is None else draws
        until = np.maximum(until, rows.reached[:, None])
        spent = self.cumulative(until, draws) - self.cumulative(rows.reached[:, None], draws)
        code = rows.codes[:, 0] if rows.codes.shape[1] else np.zeros(len(rows.reached), np.int64)
        spent = np.where(until > self.schema.breaks[-1], np.nan, spent)
        return np.exp(-spent * self.factor[draws][:, code][:, :, None])

    def new_group_name(self, rows):
        return np.full(len(rows.reached), "", dtype=object)

    def joint_survival(self, rows, until, quantile, *, draws=None):
        return self.conditional_survival(rows, until, draws=draws)

    def n_at_risk(self, times, rows=None):
        return np.where(np.asarray(times) <= self.schema.breaks[-1], self.at_risk, 0)

    def new_group(self, rows):
        return np.zeros(len(rows.reached), bool)

    def unseen(self, rows):
        return (rows.codes == UNSEEN).any(axis=1)
