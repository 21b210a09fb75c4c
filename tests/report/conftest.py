"""A shop whose customers, countries, kinds and columns are all called by something hostile, fitted for real."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from churnsurv import (
    CellTable,
    Count,
    EventLog,
    HierarchicalModel,
    PeriodTable,
    Silence,
    SpellTable,
    Value,
    churn_risk,
    simulate_shop,
)
from churnsurv.errors import ApproximationWarning, ConvergenceWarning
from churnsurv.risk.checks import AsOfCheck, RiskBin

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</title><script>alert(3)</script>",
    "</style><script>alert(4)</script>",
    "</text></svg><script>alert(5)</script>",
    '"><img src=x onerror=alert(6)>',
    "'><img src=x onerror=alert(7)>",
    '" onmouseover="alert(8)',
    "' onload='alert(9)",
    "<svg/onload=alert(10)>",
    "<iframe src=javascript:alert(11)></iframe>",
    "javascript:alert(12)",
    "{{7*7}}",
    "{% raw %}{{ config }}",
    "{#comment#}",
    "<!--<script>alert(13)</script>-->",
    "]]><script>alert(14)</script>",
    "&lt;script&gt;alert(15)&lt;/script&gt;",
    "a\u2028alert(16)\u2029",
    "\u202egnp.exe",
    "<a href=http://evil.example>x</a>",
    '=HYPERLINK("http://evil.example")',
)
HOSTILE_KIND = "order</h2><script>alert(17)</script>"
HOSTILE_COLUMN = 'land"><script>alert(18)</script>'
HOSTILE_TITLE = "Q3 </title><script>alert(19)</script> & more"
HOSTILE_NOTE = "note <img src=x onerror=alert(20)>"

CHECK = AsOfCheck(
    cutoff="2024-10-03", horizon=90.0, n_customers=200, expected=80.2, lower=70.0, upper=91.0, observed=83, ci_prob=0.90,
    bins=(RiskBin(0.05, 0.40, 100, 22.5, 20), RiskBin(0.40, 0.95, 95, 55.0, 60), RiskBin(0.95, 0.99, 5, 2.7, 3)),
    reliable=True,
)  # fmt: skip


@pytest.fixture(scope="session")
def spells():
    shop = simulate_shop(1400, rng=6, start="2024-01-01", end="2025-01-01", countries=dict.fromkeys(PAYLOADS, 0.0))
    frame = shop.frame().to_pandas()
    frame = frame[frame["kind"] == "order"].assign(kind=HOSTILE_KIND)
    number = frame["customer_id"].str.slice(1).astype(int)
    frame["customer_id"] = [PAYLOADS[k % len(PAYLOADS)] + str(k) for k in number]
    log = EventLog.from_frame(
        frame.rename(columns={"country": HOSTILE_COLUMN}), customer="customer_id", time="time", kind="kind",
        labels=(HOSTILE_COLUMN,), values=("revenue",), timezone="UTC",
    )  # fmt: skip
    return SpellTable.from_events(log, shop.window, Silence(kinds=(HOSTILE_KIND,), days=90))


@pytest.fixture(scope="session")
def cells(spells):
    features = (
        Count(HOSTILE_KIND, days=90, name="orders"),
        Value(HOSTILE_KIND, "revenue", name="revenue"),
        Value(HOSTILE_KIND, HOSTILE_COLUMN, name="land"),
    )
    return CellTable.from_periods(PeriodTable.from_spells(spells, features=features))


@pytest.fixture(scope="session")
def fit(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return HierarchicalModel("orders + revenue", groups=("land",)).fit(cells, rng=1, draws=250)


@pytest.fixture(scope="session")
def risk(fit, spells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)
        return churn_risk(fit, spells, [30, 60, 90], n_draws=200, rng=2, allow_unreliable=True)


@pytest.fixture(scope="session")
def check():
    return CHECK


@pytest.fixture(scope="session")
def html(fit, risk, cells, check, tmp_path_factory):
    from churnsurv import report

    path = tmp_path_factory.mktemp("report") / "report.html"
    report(fit, risk, path, cells=cells, check=check, title=HOSTILE_TITLE, notes=(HOSTILE_NOTE,))
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def rng():
    return np.random.default_rng(0)
