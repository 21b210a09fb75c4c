from churnsurv.hazards.scoring.share_intervals import wilson_interval
from churnsurv.plots.check import as_of_check_data, plot_as_of_check
from churnsurv.plots.svg import to_svg
from churnsurv.risk.checks import AsOfCheck, RiskBin

CHECK = AsOfCheck(
    cutoff="2024-10-03", horizon=90.0, n_customers=109, expected=40.2, lower=33.0, upper=48.0, observed=41, ci_prob=0.90,
    bins=(RiskBin(0.05, 0.21, 50, 6.0, 5), RiskBin(0.21, 0.60, 50, 27.5, 30), RiskBin(0.61, 0.99, 9, 6.7, 6)), reliable=True,
)  # fmt: skip


def test_bins_of_fewer_than_ten_are_left_out():
    data = as_of_check_data(CHECK)
    assert data["bin"].tolist() == ["5–21%", "21–60%"]
    assert data["n_customers"].tolist() == [50, 50]


def test_shares_and_interval():
    row = as_of_check_data(CHECK).iloc[1]
    assert row["expected_share"] == 0.55
    assert row["observed_share"] == 0.60
    assert (row["lower"], row["upper"]) == wilson_interval(0.6, 50, 0.90)


def test_drawing_names_both_series():
    svg = to_svg(plot_as_of_check(CHECK), name="c")
    assert "Expected beforehand" in svg
    assert "Happened (90% interval)" in svg
    assert "n 50" in svg
