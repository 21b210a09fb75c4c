"""The shipped Telco sample: the very bytes of the original, and what the usual reading of it costs."""

import hashlib
import re

import numpy as np
import pytest

from churnsurv.datasets import load_telco, telco_customers, telco_path
from churnsurv.datasets.telco import LABELS
from churnsurv.hazards.nonparametric import kaplan_meier
from churnsurv.tables.cells import CellTable
from churnsurv.tables.duration_columns import UNIT_US
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.window import DAY_US

MONTH = UNIT_US["month"] / DAY_US
ORIGINAL = "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"
"""sha256 of data/Telco-Customer-Churn.csv in IBM/telco-customer-churn-on-icp4d at d5371f5d83a446ad5673cbcca3b814b926491f8a."""


def as_csv(value):
    if value is None:
        return " "  # how the original writes the total charges of tenure 0
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@pytest.fixture(scope="module")
def customers():
    return telco_customers()


@pytest.fixture(scope="module")
def spells(engine):
    return load_telco(engine=engine)


def test_the_original_can_be_written_from_it_byte_for_byte(customers):
    columns = [[as_csv(value) for value in customers[name].to_pylist()] for name in customers.column_names]
    lines = [",".join(row) for row in (customers.column_names, *zip(*columns, strict=True))]
    assert hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest() == ORIGINAL


def test_the_licence_names_this_very_file_and_its_source():
    text = telco_path().with_name("telco.LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert {ORIGINAL, hashlib.sha256(telco_path().read_bytes()).hexdigest()} == set(re.findall(r"[0-9a-f]{64}", text))


def test_published_counts(customers, spells):
    # Every published walk through these data: 7,043 customers, 1,869 of them churned (26.5 %), 11 blank total charges.
    frame = customers.to_pandas()
    assert (len(frame), (frame["Churn"] == "Yes").sum(), frame["TotalCharges"].isna().sum()) == (7_043, 1_869, 11)
    assert (frame.loc[frame["tenure"] == 0, "Churn"] == "No").all()
    assert (spells.n_spells, spells.n_events, spells.n_open) == (7_032, (1_869,), 5_163)
    assert [(fault.name, fault.count, fault.total) for fault in spells.faults] == [("no duration", 11, 7_043)]
    assert spells.exposure_us == 7_032 * UNIT_US["month"]


def test_total_charges_add_up_over_the_tenure_and_are_no_covariate(customers, spells):
    frame = customers.to_pandas().dropna()
    assert np.corrcoef(frame["TotalCharges"], frame["tenure"] * frame["MonthlyCharges"])[0, 1] > 0.999
    assert tuple(feature.name for feature in spells.baseline) == ("MonthlyCharges", *LABELS)
    assert set(customers.column_names) - {"MonthlyCharges", *LABELS} == {
        "customerID",
        "tenure",
        "TotalCharges",
        "Churn",
    }


def test_each_customer_is_watched_for_one_month(spells):
    arrays = spells.arrays()
    assert arrays["exit"] - arrays["entry"] == pytest.approx(np.full(7_032, MONTH))
    assert arrays["entry"].min() == 0
    assert arrays["exit"].max() == 72 * MONTH


def test_hazard_by_tenure_by_hand(customers, spells):
    """Customers and departures of each tenure, counted apart from the tables."""
    frame = customers.to_pandas().query("tenure > 0")
    n, left = frame.groupby("tenure").size(), frame[frame["Churn"] == "Yes"].groupby("tenure").size()
    assert (n[1], left[1], n[12], left[12], n[72], left[72]) == (613, 380, 117, 38, 362, 6)
    periods = PeriodTable.from_spells(spells, breaks=np.arange(73) * MONTH)
    cells = CellTable.from_periods(periods, by=[])
    assert cells.n_events[:, 0].tolist() == left.reindex(range(1, 73), fill_value=0).tolist()
    half = left.reindex(range(1, 73), fill_value=0).to_numpy() / 2  # of the month in which somebody leaves
    assert cells.exposure == pytest.approx((n.to_numpy() - half) * MONTH)
    assert Episodes.from_spells(spells).n_rows == 7_032


def test_the_usual_reading_against_the_period_life_table(engine, spells):
    at = np.array([12, 24, 72]) * MONTH
    arrays, usual = spells.arrays(), load_telco(follow_up=None, engine=engine).arrays()
    entered = kaplan_meier(arrays["exit"], arrays["event"], entry=arrays["entry"]).survival_at(at)
    naive = kaplan_meier(usual["exit"], usual["event"]).survival_at(at)
    assert naive == pytest.approx([0.8432, 0.7887, 0.5928], abs=5e-5)
    assert entered == pytest.approx([1.189e-3, 2.056e-5, 4.606e-9], rel=1e-3)
    assert naive[0] > entered[0] + 0.84


def test_months_like_this_one_would_need_as_many_sign_ups_as_there_are_people(customers):
    """Customers of tenure t are the sign-ups of one month times S(t − 1), if the months since were like the one watched."""
    frame = customers.to_pandas().query("tenure > 0").assign(left=lambda f: f["Churn"] == "Yes")
    survival = (1 - frame.groupby("tenure")["left"].mean()).cumprod().shift(1, fill_value=1.0)
    sign_ups = frame.groupby("tenure").size() / survival
    assert sign_ups[1] == 613
    assert (frame["tenure"] == 60).sum() == 76
    assert sign_ups[60] == pytest.approx(5.495e9, rel=1e-3)


def contract_ratio(spells):
    """Mantel-Haenszel rate ratio, month-to-month against two-year contracts, over months of tenure.

    Rothman, Greenland and Lash, Modern Epidemiology, 3rd ed., ch. 15.
    """
    cells = CellTable.from_periods(PeriodTable.from_spells(spells, breaks=np.arange(73) * MONTH), by=["Contract"])
    level, top, bottom = cells.labels("Contract"), 0.0, 0.0
    for month in range(72):
        (a, m1), (b, m0) = (
            (cells.n_events[here, 0].sum(), cells.exposure[here].sum())
            for here in ((level == name) & (cells.period == month) for name in ("Month-to-month", "Two year"))
        )
        if m1 + m0:
            top, bottom = top + a * m0 / (m1 + m0), bottom + b * m1 / (m1 + m0)
    return top / bottom


def test_a_contract_of_two_years_looks_ten_times_better_than_it_is(engine, spells):
    """Its holders have long tenures, and the usual reading puts all of them into every early month, where they cannot leave."""
    assert contract_ratio(spells) == pytest.approx(15.9, abs=0.05)
    assert contract_ratio(load_telco(follow_up=None, engine=engine)) == pytest.approx(162.6, abs=0.5)
