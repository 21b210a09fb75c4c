"""Whether the data hold anybody to learn an intervention from: spells by what is adjusted for, counted and named."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import BoolArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.fit import State
    from churnsurv.causes.rows import CauseRows

THIN = 10
"""Spells in a configuration below which an answer leans on the log-linear model, not on the configuration."""

_NAMED = 3


@dataclass(frozen=True, eq=False)
class Positivity:
    """How many spells are in the states that are set, in each configuration of what is adjusted for.

    Parameters
    ----------
    setting : str
        What is set, in words.
    names : tuple of str
        Nodes adjusted for and given; periods of the clock, of a node that moves.
    configurations : tuple of str
        Each in words.
    n_spells, n_set : array of shape (n_configurations,)
        Spells, and those in the states that are set.
    """

    setting: str
    names: tuple[str, ...]
    configurations: tuple[str, ...]
    n_spells: IntArray
    n_set: IntArray

    @property
    def thin(self) -> BoolArray:
        """Configurations that occur, with fewer than ten spells in the states that are set."""
        return (self.n_spells > 0) & (self.n_set < THIN)

    @property
    def share_thin(self) -> float:
        """Share of spells that lie in thin configurations."""
        return float(self.n_spells[self.thin].sum()) / max(int(self.n_spells.sum()), 1)

    @property
    def violated(self) -> BoolArray:
        """Configurations that occur, with nobody in the states that are set."""
        return np.asarray((self.n_spells > 0) & (self.n_set == 0))

    def frame(self) -> pd.DataFrame:
        """One row per configuration: ``configuration, n_spells, n_set, thin``."""
        import pandas as pd

        return pd.DataFrame(
            {
                "configuration": self.configurations,
                "n_spells": self.n_spells,
                "n_set": self.n_set,
                "thin": self.thin,
            }
        )

    def sentence(self) -> str:
        """Tell what is thin, with the configurations that hold most spells."""
        if not self.thin.any():
            least = int(self.n_set[self.n_spells > 0].min()) if (self.n_spells > 0).any() else 0
            return f"{self.setting}: every configuration has spells of its own, {least:,} at least."
        worst = [k for k in np.argsort(-self.n_spells, kind="stable") if self.thin[k]]
        told = "; ".join(
            f"{self.configurations[k] or 'all'}: {int(self.n_set[k]):,} of {int(self.n_spells[k]):,}"
            for k in worst[:_NAMED]
        )
        more = f"; {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
        return (
            f"{self.setting}: {int(self.thin.sum())} of {int((self.n_spells > 0).sum())} configurations, with"
            f" {self.share_thin:.1%} of spells, have fewer than {THIN} spells in these states ({told}{more});"
            " there the log-linear model speaks, not the data."
        )


def count_positivity(
    rows: CauseRows,
    settings: Mapping[str, State],
    adjust: Sequence[str],
    setting: str,
    *,
    given: Mapping[str, str] | None = None,
) -> tuple[Positivity, ...]:
    """Count the spells behind an intervention.

    Where a state is set for everybody, every configuration needs spells in it. Where states are replaced, those that hold
    somebody to be moved need spells in the state they are moved to.

    Parameters
    ----------
    rows : CauseRows
        What was learnt from.
    settings : mapping
        What is set, by name.
    adjust : sequence of str
        Nodes known at the opening that are adjusted for or given.
    setting : str
        In words.
    given : mapping of str to str, optional
        States of nodes: only their spells are counted.

    Returns
    -------
    tuple of Positivity
        Of what is known at the opening, if any of it is set; then one for each node that moves.
    """
    moving = [name for name in settings if rows.nodes[rows.position(name)].moves]
    known = [name for name in adjust if name not in settings and not rows.nodes[rows.position(name)].moves]
    inside = np.ones(len(rows), bool)
    for name, state in (given or {}).items():
        k = rows.position(name)
        inside &= rows.codes[:, k] == rows.states[k].index(state)
    found = []
    static = {name: state for name, state in settings.items() if name not in moving}
    if static:
        chosen = np.flatnonzero(rows.begins & inside)
        found.append(
            _counted(rows, static, chosen, rows.configuration(known, chosen), _texts(rows, known), known, setting)
        )
    chosen = np.flatnonzero(inside)
    found += [_on_the_way(rows, name, settings[name], chosen, known, setting) for name in moving]
    return tuple(found)


def _texts(rows: CauseRows, names: Sequence[str]) -> list[str]:
    """Configurations of some nodes in words, the last one fastest."""
    states = [rows.states[rows.position(name)] for name in names]
    return [
        ", ".join(f"{name} = {state}" for name, state in zip(names, several, strict=True))
        for several in itertools.product(*states)
    ]


def _counted(
    rows: CauseRows,
    settings: Mapping[str, State],
    chosen: IntArray,
    key: IntArray,
    texts: Sequence[str],
    names: Sequence[str],
    setting: str,
) -> Positivity:
    """Rows by configuration, and those in the states to which others are moved; the scarcest of several settings."""
    n = len(texts)
    total, least = np.zeros(n, np.int64), np.full(n, np.iinfo(np.int64).max)
    for name, state in settings.items():
        k = rows.position(name)
        codes = rows.codes[chosen, k]
        moves = {rows.states[k].index(a): rows.states[k].index(b) for a, b in _pairs(rows.states[k], state)}
        for target in sorted(set(moves.values())):
            leaving = np.isin(codes, [old for old, new in moves.items() if new == target])
            here = np.bincount(key[codes == target], minlength=n)
            concerned = np.bincount(key[leaving], minlength=n) > 0
            concerned |= (here > 0) & isinstance(state, str)
            total = np.where(concerned, np.bincount(key, minlength=n), total)
            least = np.where(concerned, np.minimum(least, here), least)
    return Positivity(setting, tuple(names), tuple(texts), total, np.where(total > 0, least, 0))


def _pairs(states: Sequence[str], state: State) -> list[tuple[str, str]]:
    """Which state becomes which."""
    if isinstance(state, str):
        return [(old, state) for old in states if old != state]
    return [(old, new) for old, new in state.items() if old != new]


def _on_the_way(
    rows: CauseRows, name: str, state: State, chosen: IntArray, known: Sequence[str], setting: str
) -> Positivity:
    """Stretches at risk by period and configuration, and those in the states that are held, or replaced by."""
    breaks, k = rows.schema.breaks, rows.position(name)
    blank = int(np.bincount(rows.codes[rows.opens, k], minlength=len(rows.states[k])).argmax())
    where, key, texts = [], [], []
    inner = _texts(rows, known)
    for j, (low, high) in enumerate(itertools.pairwise(breaks)):
        here = chosen[(rows.start[chosen] < high) & (rows.stop[chosen] > low)]
        if not isinstance(state, str):
            here = here[rows.codes[here, k] != blank]  # who waits is not replaced
        where.append(here)
        key.append(j * len(inner) + rows.configuration(known, here))
        texts += [f"days {low:g} to {high:g}" + (f", {text}" if text else "") for text in inner]
    return _counted(rows, {name: state}, np.concatenate(where), np.concatenate(key), texts, ("period", *known), setting)
