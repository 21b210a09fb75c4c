"""The compositions of the hierarchical model that are calibrated, each with tight priors and its shop."""

import numpy as np
from scipy import special

from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import LKJ, HalfNormal, Normal
from tests.recovery.sbc_lives import law
from tests.recovery.sbc_rows import RowShop
from tests.recovery.sbc_shops import COUNTRY, PLAN, Shop

LEVEL = {
    "intercept": Normal(-3.0, 0.3),
    "coef": Normal(0.0, 0.4),
    "walk_sd": HalfNormal(0.4),
    "country_effect_sd": HalfNormal(0.4),
}
SLOPES = {"country_effect_correlation": LKJ(2.0)}
FRAILTY, CURE = {"frailty_sd": HalfNormal(0.8)}, {"cure_logit": Normal(-1.0, 0.6)}
HORIZON = 20.0
"""Days at which the survival of a new country's customer is ranked."""


def survival_of_new_country(named, breaks, model):
    """Probability that an average customer of a country never seen has no event by the horizon, leading axes kept."""
    width = np.diff(np.minimum(breaks, HORIZON))
    if model.baseline == "piecewise":
        risk = np.sum(np.exp(named["intercept"][..., None] + named["walk"]) * width, axis=-1)
    else:
        risk = -np.exp(named.get("intercept", 0.0)) * law(model.baseline, named).logsf(HORIZON)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    sd = named.get("country_effect_sd", np.zeros_like(risk))
    sd = sd if sd.ndim == risk.ndim else sd[..., 0]
    risk = np.exp(sd[..., None] * nodes) * risk[..., None]
    variance = named["frailty_sd"][..., None] ** 2 if model.frailty else None
    stays = np.exp(-risk) if variance is None else np.exp(-np.log1p(variance * risk) / variance)
    stays = stays @ (weights / weights.sum())
    share = special.expit(named["cure_logit"]) if model.cure else 0.0
    return share + (1 - share) * stays


def _model(formula="plan", **settings):
    groups, own = settings.pop("groups", ("country",)), settings.pop("priors", {})
    absent = ["coef"] * (formula == "1") + ["country_effect_sd"] * (not groups)
    if "baseline" in settings:
        absent += ["intercept", "walk_sd"]
        own = TIMES[settings["baseline"]] | own
    priors = {name: prior for name, prior in LEVEL.items() if name not in absent}
    return HierarchicalModel(formula, groups=groups, priors=priors | own, **settings)


COLUMNS = {"plan": PLAN, "country": COUNTRY}
MONTHS = tuple(f"{m // 12}-{m % 12 + 1:02}" for m in range(12 * 2022, 12 * 2022 + 25))
SHORT, LONG = (0.0, 5.0, 10.0, 20.0, 50.0), (0.0, 5.0, 15.0, 30.0, 75.0)
TIMES = {
    "weibull": {"intercept": Normal(-0.3, 0.3), "log_shape": Normal(0.0, 0.2)},
    "lognormal": {"location": Normal(0.3, 0.3), "log_spread": Normal(0.0, 0.2)},
}
SHOPS = {
    "groups": Shop(_model(), COLUMNS, SHORT),
    "slopes": Shop(_model(groups={"country": "1 + plan"}, priors=SLOPES), COLUMNS, SHORT),
    "nested": Shop(
        _model("1", groups=("country", "country:plan"), priors={"country:plan_effect_sd": HalfNormal(0.3)}), COLUMNS, SHORT
    ),
    "shapes": Shop(_model(shape_groups=("country",), priors={"country_walk_sd": HalfNormal(0.3)}), COLUMNS, SHORT),
    "months": Shop(
        _model("1", groups=(), calendar=True, priors={"month_sd": HalfNormal(0.15), "season_sd": HalfNormal(0.3)}),
        {"calendar_month": MONTHS},
        (0.0, 10.0, 30.0),
        calendar=True,
    ),
    "frailty": Shop(_model(frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "gaps"),
    "cure": Shop(_model(cure=True, priors=CURE), COLUMNS, LONG, "gaps"),
    "frailty and cure": Shop(_model(frailty="gamma", cure=True, priors=FRAILTY | CURE), COLUMNS, LONG, "gaps"),
    "frailty, late entry": Shop(_model(frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "tenures"),
    "immune, late entry": Shop(_model(cure=True, priors=CURE), COLUMNS, LONG, "tenures"),
    "frailty and immune, late entry": Shop(
        _model(frailty="gamma", cure=True, priors=FRAILTY | CURE), COLUMNS, LONG, "tenures"
    ),
    "weibull": Shop(
        _model(baseline="weibull", shape_groups=("country",), priors={"country_shape_sd": HalfNormal(0.2)}),
        COLUMNS, LONG, "durations",
    ),
    "weibull, rounded": Shop(_model(baseline="weibull", rounded=7.0), COLUMNS, LONG, "durations"),
    "weibull, frailty": Shop(_model(baseline="weibull", frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "durations"),
    "weibull, immune": Shop(_model(baseline="weibull", cure=True, priors=CURE), COLUMNS, LONG, "durations"),
    "weibull, rounded, frailty": Shop(
        _model(baseline="weibull", rounded=7.0, frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "durations"
    ),
    "lognormal": Shop(_model(baseline="lognormal"), COLUMNS, LONG, "durations"),
    "lognormal, frailty": Shop(_model(baseline="lognormal", frailty="gamma", priors=FRAILTY), COLUMNS, LONG, "durations"),
    "lognormal, immune": Shop(_model(baseline="lognormal", cure=True, priors=CURE), COLUMNS, LONG, "durations"),
    "rows, slopes by a number": RowShop(_model("plan + price", groups={"country": "1 + price"}, priors=SLOPES)),
    "rows, weibull, frailty": RowShop(_model("plan + price", baseline="weibull", frailty="gamma", priors=FRAILTY)),
    "rows, weibull, cure": RowShop(_model(baseline="weibull", cure=True, priors=CURE), kind="lived"),
}  # fmt: skip
