"""What the report says of months, where a fit has them."""

import pytest

from churnsurv import report
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.plots.months import months_data
from churnsurv.report.sections import report_data
from churnsurv.risk.predict import churn_risk
from churnsurv.tables.cells import CellTable
from churnsurv.tables.periods import PeriodTable


@pytest.fixture(scope="module")
def monthly(spells):
    return CellTable.from_periods(PeriodTable.from_spells(spells, calendar="month"))


@pytest.fixture(scope="module")
def risk(monthly, spells):
    fit = HierarchicalModel(calendar=True).fit(monthly, method="laplace", draws=200, rng=1)
    return churn_risk(fit, spells, [30], n_draws=100, rng=2, allow_unreliable=True)


@pytest.mark.filterwarnings("ignore::churnsurv.errors.ChurnsurvWarning")
def test_the_section_tells_the_fastest_and_the_slowest_month(risk, monthly, tmp_path):
    data = report_data(risk, cells=monthly)
    (part,) = data["months"]["parts"]
    table = months_data(risk.fit, ci_prob=risk.ci_prob)
    assert [row["month"] for row in part["months"]] == table["month"].tolist()
    known = table[table["when"] == "in the data"].set_index("month")["hazard_ratio"]
    said = f"{known['2024-11']:.2f} times as fast in November 2024"
    assert known.idxmax() == "2024-11"
    assert said in " ".join(part["texts"])
    assert f"and {known.min():.2f} times as fast in May 2024" in " ".join(part["texts"])
    assert {"id": "months", "title": "How the months differ", "template": "months.html.j2"} in data["sections"]
    assert any(entry["name"] == "Of all customers together" for entry in data["made"]["entries"])
    html = report(risk.fit, risk, tmp_path / "r.html", cells=monthly).read_text(encoding="utf-8")
    assert '<section id="months">' in html
    assert "by month (90% intervals)" in html


@pytest.mark.filterwarnings("ignore::churnsurv.errors.ChurnsurvWarning")
def test_without_months_there_is_no_section(fit, cells, spells):
    data = report_data(churn_risk(fit, spells, [30], n_draws=50, rng=2, allow_unreliable=True), cells=cells)
    assert "months" not in data
    assert all(section["id"] != "months" for section in data["sections"])
