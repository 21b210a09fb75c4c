"""Curves on the tenure clock: what the model says of those at risk, against the data, with late entry and causes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from churnsurv import Cancellation, CoxModel, KaplanMeierModel, SpellTable, WeibullModel
from churnsurv.hazards.competing import aalen_johansen
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.models.competing import CompetingFits
from churnsurv.plots.svg import to_svg
from churnsurv.plots.tenure import model_draws, n_at_risk, stretch_of, tenure_data
from churnsurv.plots.tenure_chart import plot_tenure, plot_tenure_groups
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.schema import CellSchema


def rows_of(start, stop, event, causes=("gone",)):
    n = len(start)
    schema = CellSchema(Cancellation(causes, origin="stated"), (0.0, float(max(stop)) + 1.0), ())
    return Episodes(
        schema=schema,
        customer_id=np.array([str(k) for k in range(n)], dtype=object),
        spell=np.ones(n, np.int64),
        start=np.asarray(start, float),
        stop=np.asarray(stop, float),
        event=np.asarray(event, np.int64),
        codes=np.zeros((n, 0), np.int64),
        values=(),
        weight=None,
        n_spells=n,
    )


@pytest.fixture(scope="module")
def prevalent():
    """A sample of who is still there: fast customers are rare among those who enter late."""
    rng = np.random.default_rng(2)
    n = 12_000
    fast = rng.random(n) < 0.5
    life = rng.exponential(np.where(fast, 100.0, 500.0))
    entry = np.maximum(rng.uniform(-80, 900, n), 0.0)
    seen = entry + rng.uniform(30, 400, n)
    kept = life > entry
    stop, event = np.minimum(life, seen), (life < seen).astype(int)
    frame = pa.table(
        {
            "entry": entry[kept], "stop": stop[kept], "left": event[kept], "kind": np.where(fast, "fast", "slow")[kept],
        }
    )  # fmt: skip
    return SpellTable.from_durations(frame, duration="stop", event="left", unit="day", entry="entry", labels=("kind",))


@pytest.fixture(scope="module")
def competing():
    rng = np.random.default_rng(4)
    waits = np.column_stack([rng.exponential(200, 900), rng.exponential(400, 900)])
    first, cause = waits.min(axis=1), waits.argmin(axis=1) + 1
    seen = rng.uniform(50, 500, 900)
    rows = rows_of(np.zeros(900), np.minimum(first, seen), np.where(first < seen, cause, 0), ("a_a", "b"))
    models = (WeibullModel(), CoxModel())
    fits = {
        name: model.fit(rows.with_cause(name), rng=1, draws=60)
        for name, model in zip(("a_a", "b"), models, strict=True)
    }
    return rows, CompetingFits(fits)


def test_a_stretch_begins_and_ends_where_ten_are_at_risk():
    # Nine from day 0, all gone by day 5; twelve from day 3 on, who leave on days 10, 11, … 21.
    rows = rows_of([0] * 9 + [3] * 12, [5] * 9 + list(range(10, 22)), [1] * 21)
    found = stretch_of(rows, np.ones(21, bool))
    assert (found.first, found.last) == (3.0, 12.0)
    assert found.start.min() == 3.0
    assert found.stop.max() == 12.0
    assert found.event.sum() == 9 + 3
    assert stretch_of(rows, np.arange(21) < 9) is None


def test_numbers_at_risk_by_hand():
    rows = rows_of([0, 2, 4], [5, 6, 7], [1, 0, 1])
    assert n_at_risk(rows, np.array([1.0, 4.0, 4.5, 6.0, 7.0])).tolist() == [1, 2, 3, 2, 1]


def test_a_cox_model_without_columns_is_its_own_baseline(prevalent):
    rows = Episodes.from_spells(prevalent)
    fit = CoxModel().fit(rows, draws=1)
    found = stretch_of(rows, np.ones(len(rows), bool))
    times = np.linspace(found.first, found.last, 30)
    baseline = fit.baseline
    steps = np.concatenate([[0.0], baseline["cumulative_hazard"]])
    risen = steps[np.searchsorted(baseline["time"], times, side="right")]
    # A row that ends inside a stretch of time has lived through a part of its steps: close, and not to the last digit.
    np.testing.assert_allclose(
        -np.log(model_draws(fit, rows, found, times)[0, 0]), risen - risen[0], rtol=0.06, atol=0.02
    )


def test_the_model_answers_the_question_of_the_data_where_customers_enter_late(prevalent):
    rows = Episodes.from_spells(prevalent)
    fit = WeibullModel("kind").fit(rows, rng=1, draws=20)
    data = tenure_data(fit, rows)
    model = data[data["series"] == "Model"]
    curve = kaplan_meier(rows.stop, rows.event, entry=rows.start)
    at = model["days"].between(1, 700)
    expected = curve.survival_at(model.loc[at, "days"].to_numpy())
    assert np.abs(model.loc[at, "share"] - expected).max() < 0.03
    # The naive way, an average of curves over everybody in the sample, is off by ten points and more.
    slow = (np.asarray(rows.schema.column("kind").labels)[rows.codes[:, 0]] == "slow").mean()
    days = model.loc[at, "days"].to_numpy()
    naive = slow * np.exp(-days / 500) + (1 - slow) * np.exp(-days / 100)
    assert np.abs(naive - expected).max() > 0.1


def test_whole_units_give_the_curve_of_the_data_back():
    rng = np.random.default_rng(1)
    stop = rng.integers(1, 13, 300) * 30.0
    rows = rows_of(stop - 30.0, stop, rng.random(300) < 0.4)
    spells = SpellTable.from_durations(
        pa.table({"stop": stop, "entry": stop - 30.0, "left": rows.event}), duration="stop", entry="entry", event="left",
        unit="day",
    )  # fmt: skip
    fit = KaplanMeierModel(rounded=30.0).fit(spells)
    data = tenure_data(fit, rows, grain=30.0)
    model, seen = (data[data["series"] == name].set_index("days")["share"] for name in ("Model", "Data"))
    np.testing.assert_allclose(model, seen.reindex(model.index), rtol=1e-9)
    assert data.loc[data["series"] == "Model", "lower"].isna().all()
    assert data.loc[(data["series"] == "Data") & (data["days"] > 0), "lower"].notna().all()


def test_incidences_are_those_of_aalen_and_johansen(competing):
    rows, fit = competing
    data = tenure_data(fit, rows, ci_prob=0.8)
    assert set(data["quantity"]) == {"incidence"}
    curve = aalen_johansen(rows.stop, rows.event, causes=("a_a", "b"), ci_prob=0.8)
    for cause in ("a_a", "b"):
        seen = data[(data["series"] == "Data") & (data["cause"] == cause)]
        inner = seen[(seen["days"] >= 1) & (seen["days"] <= 300)]
        exact = curve.cumulative_incidence_at(inner["days"].to_numpy(), cause)
        np.testing.assert_allclose(inner["share"], exact, atol=1e-12)
        model = data[(data["series"] == "Model") & (data["cause"] == cause)]
        assert np.abs(model["share"] - curve.cumulative_incidence_at(model["days"], cause)).max() < 0.03
        assert (model["lower"] <= model["share"]).all()
    model = data[data["series"] == "Model"].groupby("days")["share"].sum()
    assert (model <= 1).all()
    assert model.is_monotonic_increasing


def test_shares_of_all_causes_and_of_those_left_are_everybody(competing):
    rows, fit = competing
    found = stretch_of(rows, np.ones(len(rows), bool))
    times = np.linspace(found.first, found.last, 20)
    lost = model_draws(fit, rows, found, times)
    left = np.prod([model_draws(one, rows.with_cause(name), found, times)[0] for name, one in fit.fits.items()], axis=0)
    np.testing.assert_allclose(lost.sum(axis=0) + left, 1.0, atol=1e-12)


def test_small_groups_have_no_curve(prevalent):
    rows = Episodes.from_spells(prevalent)
    fit = WeibullModel().fit(rows, draws=1)
    masks = {"all": np.ones(len(rows), bool), "nine": np.arange(len(rows)) < 9}
    assert set(tenure_data(fit, rows, masks)["group"]) == {"all"}


def test_steps_of_the_data_stand_on_whole_days(prevalent):
    rows = Episodes.from_spells(prevalent)
    data = tenure_data(WeibullModel().fit(rows, draws=1), rows)
    days = data.loc[data["series"] == "Data", "days"].iloc[1:]
    assert (days == days.round()).all()
    assert data.loc[data["series"] == "Data", "n_at_risk"].min() >= 10


def test_drawings_name_causes_and_groups(competing):
    rows, fit = competing
    data = tenure_data(fit, rows)
    svg = to_svg(plot_tenure(data, rows, width=320), name="t")
    assert "a a" in svg
    assert "Have left" in svg
    assert "At risk" in svg
    masks = {"first <half>": np.arange(900) < 450, "second": np.arange(900) >= 450}
    svg = to_svg(plot_tenure_groups(tenure_data(fit, rows, masks)), name="g")
    assert "first &lt;half&gt;" in svg
    assert "Days as a customer" in svg
