"""Who takes part in the leaderboard of the shipped Online Retail log, and when."""

from dataclasses import replace

import churnsurv as cs
from churnsurv.analysis import Analysis, contenders, usual_cutoffs
from churnsurv.datasets.online_retail import TIMEZONE
from churnsurv.risk.recipes import Recipe
from tests.leaderboard.buy_till_you_die import BuyTillYouDie

WINDOW = cs.ObservationWindow("2010-12-01", "2011-12-10")
CHURN = cs.Silence(("order",), days=90)
ANALYSIS = Analysis(churn=CHURN, window=WINDOW, values=("revenue",), groups=("country",), draws=1000, seed=0)
"""What the demo and ``churnsurv report`` ask of this log: orders, their rhythm, revenue and country."""
CUTOFFS = usual_cutoffs(ANALYSIS, TIMEZONE)

_NAMES = {
    "rule": "rule: silent for 45 days",
    "classifier": "plain classifier",
    "logistic": "logistic",
    "forest": "forest",
    "boosting": "boosting",
    "cox": "Cox",
    "weibull": "Weibull",
    "hierarchical": "hierarchical, frailty, months",
    "logistic:landmark": "logistic, landmarks",
    "boosting:landmark": "boosting, landmarks",
    "cox:landmark": "Cox, landmarks",
    "hierarchical:landmark": "hierarchical piecewise, landmarks",
}


def contestants():
    """Recipe of every model, by the name under which it is told."""
    known = contenders(ANALYSIS, tuple(_NAMES))
    found = {_NAMES[name]: recipe for name, recipe in known.items()}
    shop, counted = (
        known["hierarchical"],
        contenders(replace(ANALYSIS, look_back=90.0), ["hierarchical"])["hierarchical"],
    )
    found["hierarchical, frailty, months, habits"] = counted
    own = {"groups": ("country",), "on_bad": "drop"}
    for name, recipe, settings in (
        ("hierarchical piecewise, habits", counted, {}),
        ("hierarchical piecewise, frailty", shop, {"frailty": "gamma"}),
        ("hierarchical Weibull, frailty, cure", shop, {"baseline": "weibull", "frailty": "gamma", "cure": True}),
    ):
        found[name] = replace(recipe, model=cs.HierarchicalModel(recipe.model.formula, **own, **settings))
    for name in ("BG/NBD", "Pareto/NBD"):
        found[name] = Recipe(BuyTillYouDie(name))
    return found
