"""Published retention of two segments: seven years are fitted, and years 8 to 12 are told and compared.

Run it as ``python examples/05_retention_beyond_the_data.py``.
"""

import numpy as np
import pandas as pd

import churnsurv as cs
from churnsurv.datasets import load_retention, retention_spells
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.priors import Normal

YEAR = 365.25
KNOWN, ASKED = 7, 12

constant = {"log_shape": Normal(0, 0.05)}  # a Weibull shape of one, nearly: nobody's own hazard changes with time
mild = {"log_shape": Normal(0, 0.25)}  # shapes between 0.66 and 1.5, nine in ten
models = {
    "Weibull": cs.HierarchicalModel(baseline="weibull", rounded=YEAR),
    "Weibull, cure": cs.HierarchicalModel(baseline="weibull", cure=True, rounded=YEAR),
    "exponential, frailty": cs.HierarchicalModel(baseline="weibull", frailty="gamma", rounded=YEAR, priors=constant),
    "Weibull, frailty": cs.HierarchicalModel(baseline="weibull", frailty="gamma", rounded=YEAR, priors=mild),
}
published = load_retention().pivot(index="year", columns="segment", values="percent")
print(published.T.to_string())


def fitted(model: cs.HierarchicalModel, rows: cs.Episodes) -> HierarchicalFit:
    """The approximation where it is good enough, else the sampler."""
    fit = model.fit(rows, rng=1, method="laplace")
    return fit if fit.info.status == "ok" else model.fit(rows, rng=1, draws=500)


lines, years = [], np.arange(1, ASKED + 1)
for segment in published:
    truth = published[segment].to_numpy()[1:]
    rows = cs.Episodes.from_spells(retention_spells(segment, years=KNOWN, weighted=True))
    for name, model in models.items():
        fit = fitted(model, rows)
        survival = 100 * fit.predict_survival_function(rows, years * YEAR).isel(customer=0).values.reshape(-1, ASKED)
        low, high = np.quantile(survival, [0.05, 0.95], axis=0)
        error, inside = np.abs(survival.mean(axis=0) - truth), (low <= truth) & (truth <= high)
        lines.append(
            {
                "segment": segment,
                "model": name,
                "method": fit.info.method,
                "error 1-7": error[:KNOWN].mean().round(2),
                "error 8-12": error[KNOWN:].mean().round(2),
                "held 8-12": f"{inside[KNOWN:].sum()} of {ASKED - KNOWN}",
                **{f"S({year})": survival[:, year - 1].mean().round(1) for year in (8, 10, 12)},
                "S(12) 90 %": f"{low[-1]:.1f} to {high[-1]:.1f}",
                "published": truth[-1],
            }
        )
        print(segment, fit)
        for what in ("frailty_sd", "log_shape", "cure_logit"):
            if what in fit.posterior["posterior"]:
                draws = fit.posterior["posterior"][what].values
                print(f"    {what}: {np.quantile(draws, [0.05, 0.5, 0.95]).round(2)}")
    risk = cs.churn_risk(fit, retention_spells(segment, years=KNOWN), horizon=(ASKED - KNOWN) * YEAR)
    print(risk.totals().iloc[0][["n_customers", "expected", "lower", "upper"]].to_dict())
    print("left in those years:", round(10 * (truth[KNOWN - 1] - truth[-1])))

print(pd.DataFrame(lines).to_string(index=False))
