"""From a shop's raw log to the report, on the shipped Online Retail log.

Run it as ``python examples/01_from_log_to_report.py [folder]``.
"""

import sys
from pathlib import Path

import churnsurv as cs

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")

log = cs.load_online_retail()
print(log)

window = cs.ObservationWindow("2010-12-01", "2011-12-10")
churn = cs.Silence(kinds=("order",), days=90)
features = [cs.Value("order", "revenue"), cs.Value("order", "country", name="country")]

spells = cs.SpellTable.from_events(log, window, churn)
print(spells)
periods = cs.PeriodTable.from_spells(spells, features=features, calendar="month")
cells = cs.CellTable.from_periods(periods, customers=True)
print(cells)

model = cs.HierarchicalModel("value_order_revenue", groups=("country",), frailty="gamma", calendar=True)
fit = model.fit(cells, rng=1)
print(fit)
print(fit.summary().to_string())

risk = cs.churn_risk(fit, spells, horizon=[30, 60, 90])
print(risk)
print(risk.frame().query("status == 'supported' and horizon == 90").nlargest(5, "churn_probability").to_string())

# An approximation is enough to see whether the past was foretold.
check = cs.as_of_check(spells, model, features=features, rng=1, settings={"method": "laplace"})
print(check.verdict)

cs.report(fit, risk, out / "report.html", check=check)
fit.save(out / "fit")
print(f"written: {out / 'report.html'}, {out / 'fit'}")
