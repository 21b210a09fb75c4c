"""Fits whose draws are given and not sampled, and gaps of customers simulated from a known frailty."""

import numpy as np

from churnsurv.models.hierarchical import sampling
from churnsurv.models.hierarchical.counts import counts_of, table_info
from churnsurv.models.hierarchical.density import Natural
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.row_problem import episodes_info
from churnsurv.tables.episodes import Episodes
from tests.models.hierarchical.stretches import Stretch, exact


def fit_at(model, table, natural):
    """A fit with one chain of given draws: arrays (n_draws, ...) of fixed, random, sd and free."""
    problem = model.bind(table)
    parts = {name: np.asarray(getattr(natural, name), float)[None] for name in ("fixed", "random", "sd", "free")}
    variables, coords = problem.structure.named(Natural(**parts))
    mean = Natural(**{name: values.mean(axis=(0, 1)) for name, values in parts.items()})
    about = episodes_info if isinstance(table, Episodes) else table_info
    at_stop = np.full(table.schema.n_periods, 50)
    return HierarchicalFit(
        model=model,
        schema=table.schema,
        posterior=sampling.posterior_tree(variables, coords, {}),
        info=about(table, independent=model.frailty is None),
        structure=problem.structure,
        priors=problem.priors,
        counts=counts_of(problem, at_stop, mean),
        problem=problem,
    )


def constant(n_draws, fixed, sd=(), n_random=0, free=0):
    """Draws that are all the same, no random effects."""
    return Natural(
        np.tile(fixed, (n_draws, 1)),
        np.zeros((n_draws, n_random)),
        np.tile(np.asarray(sd, float), (n_draws, 1)).reshape(n_draws, len(sd)),
        np.zeros((n_draws, free)),
    )


def frail_gaps(n, rate, variance, window, seed, n_levels=1, effect=0.0):
    """Gaps of customers who come back at ``rate`` a day times a frailty of their own, until the window ends."""
    rng, found = np.random.default_rng(seed), []
    for owner in range(n):
        level = owner % n_levels
        speed = rate * np.exp(effect * level) * (rng.gamma(1 / variance, variance) if variance else 1.0)
        now, spell = 0.0, 1
        while now < window:
            length = rng.exponential(1 / speed)
            ends = now + length < window
            stop = exact(max(min(length, window - now), 1e-3))
            found.append(Stretch(owner, spell, (level,), 0.0, stop, bool(ends)))
            now, spell = now + length, spell + 1
    return found


def episodes_of(stretches, schema):
    """The stretches as rows."""
    codes = np.array([s.codes for s in stretches], np.int64).reshape(len(stretches), len(schema.columns))
    return Episodes(
        schema=schema,
        customer_id=np.array([f"c{s.owner:05}" for s in stretches], dtype=object),
        spell=np.array([s.spell for s in stretches]),
        start=np.array([s.start for s in stretches]),
        stop=np.array([s.stop for s in stretches]),
        event=np.array([int(s.event) for s in stretches]),
        codes=codes,
        values=(None,) * len(schema.columns),
        weight=None,
        n_spells=len({(s.owner, s.spell) for s in stretches}),
    )
