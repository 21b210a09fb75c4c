"""Answers of a network: probabilities with their posterior draws."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import check_ci_prob
from churnsurv.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("probability", "lower", "upper")
_SHOWN = 6


def _bounds(draws: FloatArray, ci_prob: float) -> tuple[FloatArray, FloatArray]:
    prob = check_ci_prob(ci_prob)
    if len(draws) == 1:
        return np.full(draws.shape[1:], np.nan), np.full(draws.shape[1:], np.nan)
    lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return lower, upper


def _check_columns(names: tuple[str, ...], *more: str) -> None:
    taken = [name for name in names if name in (*_COLUMNS, *more)]
    if taken:
        raise ArgumentError(
            f"a node is called {taken[0]!r}, like a column of the frame.",
            column=taken[0],
            hint="use `.draws`, `.mean()` and `.interval()`, or call the node by another name.",
        )


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """Probabilities of the states of one node, or of the configurations of several.

    Made by :meth:`~churnsurv.causes.inference.discrete_network.DiscreteNetwork.query`.

    Parameters
    ----------
    targets : tuple of str
        Nodes that were asked for.
    states : tuple of tuple of str
        States of each of them.
    draws : array of shape (n_draws, *cards)
        Probabilities in [0, 1]; each draw sums to 1.
    question : str
        What was asked, as ``P(churn | wait=>24h)``.
    """

    targets: tuple[str, ...]
    states: tuple[tuple[str, ...], ...]
    draws: FloatArray
    question: str = ""

    @property
    def n_draws(self) -> int:
        """Number of posterior draws; 1 without uncertainty."""
        return len(self.draws)

    def mean(self) -> FloatArray:
        """Posterior mean.

        Returns
        -------
        array of shape cards
            Probabilities that sum to 1.
        """
        return np.asarray(self.draws.mean(axis=0))

    def interval(self, ci_prob: float = 0.90) -> tuple[FloatArray, FloatArray]:
        """Equal-tailed interval of each probability.

        Parameters
        ----------
        ci_prob : float
            Probability that the bounds cover, between 0 and 1.

        Returns
        -------
        lower, upper : array of shape cards
            Bounds; NaN if there is one draw, for a point says nothing of its own uncertainty.

        Raises
        ------
        ArgumentError, DataTypeError
            If ``ci_prob`` is no such number.
        """
        return _bounds(self.draws, ci_prob)

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per configuration of the targets, the last one fastest.

        Parameters
        ----------
        ci_prob : float
            Probability that the bounds cover, between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            Columns: one per target with its state, ``probability`` (posterior mean), ``lower``, ``upper``.

        Raises
        ------
        ArgumentError
            If a target is called like one of the other columns, or as :meth:`interval`.
        """
        import pandas as pd

        _check_columns(self.targets)
        lower, upper = self.interval(ci_prob)
        rows = list(itertools.product(*self.states))
        columns: dict[str, object] = {name: [row[i] for row in rows] for i, name in enumerate(self.targets)}
        columns |= {"probability": self.mean().ravel(), "lower": lower.ravel(), "upper": upper.ravel()}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        """Question and the first probabilities."""
        means, rows = self.mean().ravel(), itertools.islice(itertools.product(*self.states), _SHOWN)
        shown = ", ".join(f"{' and '.join(row)} {mean:.4g}" for row, mean in zip(rows, means, strict=False))
        more = ", …" if means.size > _SHOWN else ""
        return f"Answer({self.question}: {shown}{more}; draws: {self.n_draws:,})"


@dataclass(frozen=True, eq=False, repr=False)
class BatchAnswer:
    """Probabilities of one node's states for many rows of evidence, told once per different row.

    Made by :meth:`~churnsurv.causes.inference.discrete_network.DiscreteNetwork.batch`.

    Parameters
    ----------
    target : str
        Node that was asked for.
    states : tuple of str
        Its states.
    draws : array of shape (n_draws, n_patterns, n_states)
        Probabilities; each draw of each pattern sums to 1. All the memory there is: it grows with the number of
        patterns and draws, not with the number of rows.
    inverse : array of int of shape (n_rows,)
        Pattern of each row: ``draws[:, inverse]`` would be the probabilities of the rows.
    patterns : array of int of shape (n_patterns, n_evidence)
        Different rows of evidence, as positions of states; -1 where a node was not seen.
    evidence_nodes : tuple of str
        Nodes of the columns of ``patterns``.
    evidence_states : tuple of tuple of str
        Their states.
    """

    target: str
    states: tuple[str, ...]
    draws: FloatArray
    inverse: IntArray
    patterns: IntArray
    evidence_nodes: tuple[str, ...]
    evidence_states: tuple[tuple[str, ...], ...]

    @property
    def n_draws(self) -> int:
        """Number of posterior draws; 1 without uncertainty."""
        return len(self.draws)

    def mean(self) -> FloatArray:
        """Posterior mean per pattern.

        Returns
        -------
        array of shape (n_patterns, n_states)
            Probabilities; ``mean()[inverse]`` has one row per row of evidence.
        """
        return np.asarray(self.draws.mean(axis=0))

    def interval(self, ci_prob: float = 0.90) -> tuple[FloatArray, FloatArray]:
        """Equal-tailed interval of each probability.

        Parameters
        ----------
        ci_prob : float
            Probability that the bounds cover, between 0 and 1.

        Returns
        -------
        lower, upper : array of shape (n_patterns, n_states)
            Bounds; NaN if there is one draw.

        Raises
        ------
        ArgumentError, DataTypeError
            If ``ci_prob`` is no such number.
        """
        return _bounds(self.draws, ci_prob)

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per pattern and state of the target.

        Parameters
        ----------
        ci_prob : float
            Probability that the bounds cover, between 0 and 1.

        Returns
        -------
        pandas.DataFrame
            Columns: one per evidence node (missing where it was not seen), the target's state, ``n_rows``,
            ``probability`` (posterior mean), ``lower``, ``upper``.

        Raises
        ------
        ArgumentError
            If a node is called like one of the other columns, or as :meth:`interval`.
        """
        import pandas as pd

        _check_columns((*self.evidence_nodes, self.target), "n_rows")
        lower, upper = self.interval(ci_prob)
        n_patterns, n_states = len(self.patterns), len(self.states)
        columns: dict[str, object] = {}
        for node, own, codes in zip(self.evidence_nodes, self.evidence_states, self.patterns.T, strict=True):
            columns[node] = np.repeat(np.array([*own, None], dtype=object)[codes], n_states)
        columns[self.target] = np.tile(np.array(self.states, dtype=object), n_patterns)
        columns["n_rows"] = np.repeat(np.bincount(self.inverse, minlength=n_patterns), n_states)
        columns |= {"probability": self.mean().ravel(), "lower": lower.ravel(), "upper": upper.ravel()}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        """Return one line."""
        return (
            f"BatchAnswer({self.target} given {', '.join(self.evidence_nodes)}; rows: {len(self.inverse):,}, "
            f"patterns: {len(self.patterns):,}, draws: {self.n_draws:,})"
        )
