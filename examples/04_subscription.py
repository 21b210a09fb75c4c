"""Subscriptions: durations of the Telco sample, then a log with two ways to leave; from tables to two reports.

Run it with a folder for the results: ``python examples/04_subscription.py out``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import churnsurv as cs
from churnsurv.datasets import load_telco, simulate_subscription
from churnsurv.hazards import kaplan_meier

out = Path(sys.argv[1] if len(sys.argv) > 1 else "subscription")
out.mkdir(parents=True, exist_ok=True)

# Durations: whole months of tenure, everyone watched for the last of them only.
telco = load_telco()
print(telco)
print("left out:", *telco.faults)

watched, usual = telco.arrays(), load_telco(follow_up=None).arrays()
for name, data in (("with entry", watched), ("the usual way", usual)):
    curve = kaplan_meier(data["exit"], data["event"], entry=data["entry"] if name == "with entry" else None)
    at = curve.times.searchsorted(366, side="right") - 1
    print(f"S(12 months) {name}: {curve.survival[at]:.4f}")

formula = "Contract + InternetService + PaymentMethod"
weibull = cs.WeibullModel(formula, rounded=telco.grain).fit(telco, rng=1)
print(weibull.summary()[["time_ratio", "hazard_ratio", "p"]].round(3).to_string())

cox = cs.CoxModel(formula, rounded=telco.grain).fit(telco, rng=1)
print(cox.proportional_hazards_test().round(4).to_string())

risk = cs.churn_risk(weibull, telco, horizon=[30, 60, 90])
print(risk)
cs.report(weibull, risk, out / "telco.html")

# A log: contracts open with a sign-up and end by a cancellation or a failed payment.
business = simulate_subscription(3_000, rng=1)
churn = cs.Cancellation(("cancelled", "payment_failed"), origin="kind:signup")
spells = cs.SpellTable.from_events(business.log, business.window, churn)
print(spells)

features = [cs.Value("signup", "plan", name="plan"), cs.Value("signup", "country", name="country")]
rows = cs.Episodes.from_periods(cs.PeriodTable.from_spells(spells, features=features))
fits = cs.CompetingFits(
    {cause: cs.WeibullModel("plan + country").fit(rows.with_cause(cause), rng=1) for cause in churn.causes}
)
risk = cs.churn_risk(fits, spells, horizon=[30, 60, 90])
print(risk)
cs.report(fits, risk, out / "subscription.html")
print("reports are in", out)
