"""Rows for the Weibull tests: R's examples, and simulated times."""

from __future__ import annotations

import numpy as np
from lifelines.datasets import load_lung

from tests.models.rows import episodes


def lung(*columns, complete=("ph.ecog", "age")):
    """survival::lung without the rows that lack a status of health; ``sex`` is text, ``sex_number`` 1 or 2."""
    frame = load_lung().dropna(subset=list(complete))
    made = {
        "ecog": frame["ph.ecog"].to_numpy(float),
        "age": frame["age"].to_numpy(float),
        "sex_number": frame["sex"].to_numpy(float),
        "sex": np.where(frame["sex"] == 1, "1", "2").astype(object),
    }
    return episodes(frame["time"], frame["status"] == frame["status"].max(), {name: made[name] for name in columns})


def simulated(n, *, seed=0, coef=(0.5, -0.3), shape=1.4, scale=100.0, last=150.0, late=0.0, shape_effect=0.0):
    """Weibull times of accelerated failure; ``late`` is the share that enters late. Arrays by name."""
    stream = np.random.default_rng(seed)
    a = stream.normal(size=n)
    plan = np.where(stream.random(n) < 0.4, "annual", "monthly").astype(object)
    own_scale = scale * np.exp(coef[0] * a + coef[1] * (plan == "annual"))
    own_shape = shape * np.exp(shape_effect * (plan == "annual"))
    entry = np.where(stream.random(n) < late, stream.uniform(0, last, n), 0.0)
    time = own_scale * ((entry / own_scale) ** own_shape + stream.exponential(size=n)) ** (1 / own_shape)
    censored = entry + stream.uniform(0.2, 1.0, n) * last
    return {
        "a": a, "plan": plan, "entry": entry, "stop": np.minimum(time, censored), "event": (time <= censored).astype(int)
    }  # fmt: skip


def rows_of(data, columns=("a", "plan"), **settings):
    return episodes(data["stop"], data["event"], {n: data[n] for n in columns}, start=data["entry"], **settings)


def split(table, seed=0, parts=3):
    """The same spells in several rows each; only the last one may end with the event."""
    stream = np.random.default_rng(seed)
    index = np.repeat(np.arange(len(table.stop)), parts)
    cuts = np.sort(stream.random((len(table.stop), parts - 1)), axis=1)
    edges = np.column_stack([np.zeros(len(cuts)), cuts, np.ones(len(cuts))])
    edges = table.start[:, None] + edges * (table.stop - table.start)[:, None]
    edges[:, -1] = table.stop
    made = table.take(index)
    last = np.tile(np.arange(parts) == parts - 1, len(cuts))
    return type(made)(**{
        **made.__dict__, "start": edges[:, :-1].ravel(), "stop": edges[:, 1:].ravel(), "event": made.event * last,
        "n_spells": table.n_spells,
    })  # fmt: skip
