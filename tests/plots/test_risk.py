import numpy as np
import pytest

from churnsurv.plots.groups import group_columns, group_data, group_sizes, named_groups, plot_groups
from churnsurv.plots.risk import alive_rows, plot_risk_distribution, risk_distribution_data
from churnsurv.plots.svg import to_svg


def test_alive_rows_leave_out_who_has_churned(risk):
    alive = alive_rows(risk)
    assert (alive["silence"] < 90).all()
    assert len(alive) == 3 * risk.n_alive


def test_distribution_counts_everyone_once(risk):
    data = risk_distribution_data(risk)
    assert data.groupby("horizon")["n_customers"].sum().tolist() == [risk.n_alive] * 3


def test_distribution_sets_apart_who_cannot_churn_yet(risk, frame):
    data = risk_distribution_data(risk)
    for horizon in (30.0, 60.0, 90.0):
        rows = frame[(frame["horizon"] == horizon) & (frame["silence"] < 90)]
        zero = data[(data["horizon"] == horizon) & (data["stop"] == 0)]["n_customers"].item()
        assert zero == int((rows["silence"] + horizon < 90).sum())


def test_distribution_bins_are_closed_on_the_right(risk, monkeypatch):
    rows = alive_rows(risk).iloc[:4].assign(horizon=30.0, churn_probability=[0.15, 0.1500001, 1.0, 1e-9])
    monkeypatch.setattr("churnsurv.plots.risk.alive_rows", lambda _: rows)
    data = risk_distribution_data(risk)
    filled = {(row.start, row.stop): row.n_customers for row in data.itertuples() if row.n_customers}
    assert filled == {(0.1, 0.15): 1, (0.15, 0.2): 1, (0.95, 1.0): 1, (0.0, 0.05): 1}


def test_distribution_is_drawn_for_desk_and_phone(risk):
    for width in (640, 320):
        svg = to_svg(plot_risk_distribution(risk, width=width), name="d")
        assert "Within 30 days" in svg
        assert "Within 90 days" in svg


def test_text_columns_are_the_groups(risk):
    assert group_columns(risk) == ("country",)


def test_small_groups_are_pooled_and_not_named(risk):
    sizes = group_sizes(risk, "country")
    assert sizes["Malta"] + sizes["Chad"] > 0
    assert max(sizes["Malta"], sizes["Chad"]) < 10
    data = group_data(risk, "country", 90.0)
    assert not set(data["group"]) & {"Malta", "Chad"}
    assert data["pooled"].tolist() == [False] * (len(data) - 1) + [True]
    assert data["n_customers"].sum() == risk.n_alive
    assert data["n_customers"].min() >= 10


def test_group_numbers_are_those_of_the_totals(risk):
    data = group_data(risk, "country", 60.0).set_index("group")
    totals = risk.totals(by="country")
    row = totals[(totals["country"] == "United Kingdom") & (totals["horizon"] == 60)].iloc[0]
    assert data.loc["United Kingdom", "expected"] == row["expected"]
    assert data.loc["United Kingdom", "share_upper"] == row["upper"] / row["n_customers"]


def test_pooled_interval_comes_from_joint_draws(risk):
    data = group_data(risk, "country", 90.0)
    sums = risk.sums["country"]
    named = [sums.levels.index(name) for name in data.loc[~data["pooled"], "group"]]
    rest = [k for k in range(len(sums.levels)) if k not in named]
    counts = sums.counts[:, rest, 2].sum(axis=1)
    pooled = data.iloc[-1]
    assert pooled["expected"] == pytest.approx(sums.expected[rest, 2].sum())
    assert (pooled["lower"], pooled["upper"]) == tuple(np.quantile(counts, [0.05, 0.95], method="inverted_cdf"))


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({}, ()),
        ({"a": 9}, ()),
        ({"a": 50, "b": 20}, ("a", "b")),
        ({"a": 50, "b": 20, "c": 1}, ("a",)),
        ({"a": 50, "b": 20, "c": 9, "d": 1}, ("a", "b")),
        ({"a": 50, "b": 20, "c": 9, "d": 9}, ("a", "b")),
        ({"b": 20, "a": 20}, ("a", "b")),
    ],
)
def test_complementary_suppression(sizes, named):
    assert named_groups(sizes) == named


def test_only_the_largest_groups_are_named():
    sizes = {f"g{k:02d}": 100 - k for k in range(40)}
    assert named_groups(sizes, shown=15) == tuple(f"g{k:02d}" for k in range(15))


def test_groups_are_drawn_with_their_size(risk):
    svg = to_svg(plot_groups(risk, "country", 90.0), name="g")
    n = group_sizes(risk, "country")["United Kingdom"]
    assert f"United Kingdom ({n})" in svg
    assert "Malta" not in svg
