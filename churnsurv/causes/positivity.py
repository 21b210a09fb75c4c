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
    rows: CauseRows, settings: Mapping[str, State], adjust: Sequence[str], setting: str
) -> tuple[Positivity, ...]:
    """Count the spells behind an intervention.

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

    Returns
    -------
    tuple of Positivity
        Of what is known at the opening, if any of it is set; then one for each node that moves.
    """
    moving = [name for name in settings if rows.nodes[rows.position(name)].moves]
    found = []
    static = {name: state for name, state in settings.items() if name not in moving}
    if static:
        found.append(_at_opening(rows, static, [name for name in adjust if name not in static], setting))
    found += [_on_the_way(rows, name, settings[name], setting) for name in moving]
    return tuple(found)


def _inside(rows: CauseRows, name: str, state: State, where: IntArray) -> BoolArray:
    """Rows that already are where the intervention would put them."""
    k = rows.position(name)
    codes = rows.codes[where, k]
    if isinstance(state, str):
        return np.asarray(codes == rows.states[k].index(state))
    leaves = [rows.states[k].index(old) for old, new in state.items() if old != new]
    return np.asarray(~np.isin(codes, leaves))


def _at_opening(rows: CauseRows, settings: Mapping[str, State], adjust: Sequence[str], setting: str) -> Positivity:
    opening = np.flatnonzero(rows.opens)
    key = rows.configuration(adjust, opening)
    inside = np.ones(len(opening), bool)
    for name, state in settings.items():
        inside &= _inside(rows, name, state, opening)
    states = [rows.states[rows.position(name)] for name in adjust]
    n = int(np.prod([len(several) for several in states], dtype=np.int64))
    texts = tuple(
        ", ".join(f"{name} = {state}" for name, state in zip(adjust, several, strict=True))
        for several in itertools.product(*states)
    )
    return Positivity(
        setting, tuple(adjust), texts, np.bincount(key, minlength=n), np.bincount(key[inside], minlength=n)
    )


def _on_the_way(rows: CauseRows, name: str, state: State, setting: str) -> Positivity:
    """Stretches at risk in each period, and those in the states that are held."""
    breaks = rows.schema.breaks
    everybody = np.arange(len(rows))
    inside = _inside(rows, name, state, everybody)
    texts, n_rows, n_set = [], [], []
    for low, high in itertools.pairwise(breaks):
        here = (rows.start < high) & (rows.stop > low)
        texts.append(f"days {low:g} to {high:g}")
        n_rows.append(int(here.sum()))
        n_set.append(int((here & inside).sum()))
    return Positivity(setting, ("period",), tuple(texts), np.array(n_rows, np.int64), np.array(n_set, np.int64))
