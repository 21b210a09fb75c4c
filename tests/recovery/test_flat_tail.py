"""The flat conditional tail: beyond the last time in the data a step function stands still, and customers do not.

A subscription business of 730 days, of which the truth is known. Asked for the customers who have been there longest,
lifelines' ``conditional_after`` promises that none of them will ever leave.
"""

from __future__ import annotations

import lifelines
import numpy as np
import pytest

from churnsurv.models.cox import CoxModel
from churnsurv.models.weibull import WeibullModel
from tests.models.rows import episodes, open_rows

SHAPE, SCALE, EFFECT, DAYS, AHEAD = 1.4, 900.0, 0.5, 730.0, 90.0


@pytest.fixture(scope="module")
def business():
    """Sign-ups spread over the window, more of them at its start; everyone is followed to its end."""
    stream = np.random.default_rng(11)
    n = 4000
    x = stream.normal(size=n)
    reach = DAYS * np.maximum(stream.random(n), stream.random(n))
    churn = SCALE * (stream.exponential(size=n) * np.exp(-EFFECT * x)) ** (1 / SHAPE)
    rows = episodes(np.minimum(churn, reach), (churn <= reach).astype(int), {"x": x})
    now = np.flatnonzero(rows.event == 0)
    hazard = np.exp(EFFECT * x[now])
    left = ((rows.stop[now] + AHEAD) / SCALE) ** SHAPE - (rows.stop[now] / SCALE) ** SHAPE
    return rows, now, 1 - np.exp(-hazard * left)


@pytest.fixture(scope="module")
def longest(business):
    """Customers whose next 90 days lie beyond everything seen, and the hundred among them who came first."""
    rows, now, _ = business
    beyond = rows.stop[now] + AHEAD > rows.stop.max()
    oldest = np.argsort(-rows.stop[now])[:100]
    return beyond, oldest


def risk_of(fit, rows, now):
    new = open_rows(rows, rows.stop[now], now)
    return 1 - fit.conditional_survival(new, new.reached[:, None] + AHEAD).mean(axis=0)[:, 0]


def test_naive_is_wrong_by_half_beyond_the_data_and_wholly_for_the_oldest(business, longest):
    """0.052 for 0.116 over the sixth of customers concerned; of the hundred oldest, 67 get a risk of exactly 0."""
    import pandas as pd

    rows, now, truth = business
    beyond, oldest = longest
    frame = pd.DataFrame({"x": rows.values[0], "stop": rows.stop, "event": rows.event})
    plain = lifelines.CoxPHFitter().fit(frame, "stop", "event")
    told = plain.predict_survival_function(frame.iloc[now], times=[AHEAD], conditional_after=rows.stop[now])
    naive = 1 - told.to_numpy().ravel()
    assert beyond.mean() == pytest.approx(0.176, abs=0.001)
    assert naive[~beyond].mean() == pytest.approx(truth[~beyond].mean(), abs=0.005)
    assert truth[beyond].mean() == pytest.approx(0.116, abs=0.001)
    assert naive[beyond].mean() == pytest.approx(0.052, abs=0.001)
    assert truth[oldest].mean() == pytest.approx(0.123, abs=0.001)
    assert naive[oldest].mean() == pytest.approx(0.008, abs=0.001)
    assert (naive[oldest] == 0.0).sum() == 67


def test_ours_refuses_them_and_answers_the_others(business, longest):
    rows, now, truth = business
    beyond, _ = longest
    told = risk_of(CoxModel("x").fit(rows, draws=200), rows, now)
    assert np.isnan(told[beyond]).all()
    assert np.isfinite(told[~beyond]).all()
    assert told[~beyond].mean() == pytest.approx(truth[~beyond].mean(), abs=0.005)


def test_weibull_goes_on_and_knows_that_it_does(business, longest):
    rows, now, truth = business
    beyond, oldest = longest
    fit = WeibullModel("x").fit(rows, draws=200)
    told = risk_of(fit, rows, now)
    for some in (beyond, oldest):
        assert told[some].mean() == pytest.approx(truth[some].mean(), abs=0.005)
    assert np.all(fit.n_at_risk(rows.stop[now][beyond] + AHEAD) == 0)
