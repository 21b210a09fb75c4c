"""Data of textbooks and of R's survival package, as rows."""

from __future__ import annotations

import numpy as np

from tests.models.rows import episodes

# survival::ovarian (R package survival 3.8, data from Edmunson et al. 1979): futime, fustat, age, resid.ds, rx, ecog.ps
OVARIAN = np.array([
    (59, 1, 72.3315, 2, 1, 1), (115, 1, 74.4932, 2, 1, 1), (156, 1, 66.4658, 2, 1, 2), (421, 0, 53.3644, 2, 2, 1),
    (431, 1, 50.3397, 2, 1, 1), (448, 0, 56.4301, 1, 1, 2), (464, 1, 56.9370, 2, 2, 2), (475, 1, 59.8548, 2, 2, 2),
    (477, 0, 64.1753, 2, 1, 1), (563, 1, 55.1781, 1, 2, 2), (638, 1, 56.7562, 1, 1, 2), (744, 0, 50.1096, 1, 2, 1),
    (769, 0, 59.6301, 2, 2, 2), (770, 0, 57.0521, 2, 2, 1), (803, 0, 39.2712, 1, 1, 1), (855, 0, 43.1233, 1, 1, 2),
    (1040, 0, 38.8932, 2, 1, 2), (1106, 0, 44.6000, 1, 1, 1), (1129, 0, 53.9068, 1, 2, 1), (1206, 0, 44.2055, 2, 2, 1),
    (1227, 0, 59.5890, 1, 2, 2), (268, 1, 74.5041, 2, 1, 2), (329, 1, 43.1370, 2, 1, 1), (353, 1, 63.2192, 1, 2, 2),
    (365, 1, 64.4247, 2, 2, 1), (377, 0, 58.3096, 1, 2, 1),
])  # fmt: skip

# Therneau and Grambsch (2000), appendix E, data set 1 without the row that lacks a status.
BOOK_TIME = (9, 1, 1, 6, 6, 8)
BOOK_EVENT = (1, 1, 0, 1, 1, 0)
BOOK_X = (0, 1, 1, 1, 0, 0)

# Appendix E, data set 2: (start, stop].
BOOK2_START = (1, 2, 5, 2, 1, 7, 3, 4, 8, 8)
BOOK2_STOP = (2, 3, 6, 7, 8, 9, 9, 9, 14, 17)
BOOK2_EVENT = (1, 1, 1, 1, 1, 1, 1, 0, 0, 0)
BOOK2_X = (1, 0, 0, 1, 0, 1, 1, 1, 0, 0)


def ovarian(**settings):
    time, event, age, residual, rx, ecog = OVARIAN.T
    return episodes(
        time, event, {"age": age, "resid_ds": residual, "rx": np.array([f"{v:g}" for v in rx]), "ecog_ps": ecog}, **settings
    )  # fmt: skip


def of_frame(frame, duration, event, columns, *, entry=None, weights=None, **settings):
    """Rows of a data frame of lifelines."""
    return episodes(
        frame[duration].to_numpy(float), frame[event].to_numpy(int), {name: frame[name].to_numpy() for name in columns},
        start=None if entry is None else frame[entry].to_numpy(float),
        weight=None if weights is None else frame[weights].to_numpy(float), **settings,
    )  # fmt: skip


def simulated(n, *, seed=0, coef=(0.7, -0.4, 0.2), shape=1.3, scale=200.0, last=400.0, late=0.0):
    """Weibull proportional hazards with two numbers and a text; returns a dict of arrays with the true linear predictor."""
    stream = np.random.default_rng(seed)
    a, b = stream.normal(size=n), stream.uniform(-1, 1, n)
    plan = np.where(stream.random(n) < 0.4, "annual", "monthly")
    eta = coef[0] * a + coef[1] * b + coef[2] * (plan == "annual")
    entry = np.where(stream.random(n) < late, stream.uniform(0, 0.5 * last, n), 0.0)
    past = np.exp(eta) * (entry / scale) ** shape
    time = scale * ((past + stream.exponential(size=n)) / np.exp(eta)) ** (1 / shape)
    censored = np.minimum(entry + stream.uniform(0.3, 1.0, n) * last, last)
    return {
        "a": a, "b": b, "plan": plan.astype(object), "eta": eta, "entry": entry,
        "stop": np.minimum(time, censored), "event": (time <= censored).astype(int),
    }  # fmt: skip


def rows_of(data, *, columns=("a", "b", "plan"), **settings):
    return episodes(
        data["stop"], data["event"], {name: data[name] for name in columns}, start=data["entry"], **settings
    )
