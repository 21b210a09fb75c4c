"""Parameters as a person reads them: the same draws as the posterior's, and none of them left out."""

import numpy as np
import pytest

from churnsurv.errors import ArgumentError
from churnsurv.models.hierarchical.density import Natural
from tests.models.hierarchical.compositions import COUNTED, TIMED, case_of
from tests.models.hierarchical.known_fits import constant, fit_at
from tests.models.saved_data import COMPOSITIONS, made_up_fit

IN_OTHER_FRAMES = {"intercept", "coef", "log_baseline"}
"""Told by ``baseline()`` and ``summary()``."""
READ = {
    "log_shape": ("shape", np.exp),
    "log_spread": ("spread", np.exp),
    "location": ("median_time", np.exp),
    "cure_logit": ("cured_share", lambda logit: 100 / (1 + np.exp(-logit))),
}
"""What is not shown as it is sampled."""


def drawn(fit, row):
    """Draws behind a row, from the posterior by its labels and not by positions."""
    variable = fit.posterior["posterior"][row["variable"]]
    if variable.ndim == 3:
        group, _, term = row["of"].partition(": ")
        dim = variable.dims[-1]
        variable = variable.sel({dim: term or "1"})
        assert dim in (f"{group}_term", f"{group}_pair")
    return variable.values.ravel()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_rows_are_the_posterior_s_quantiles(name):
    fit = made_up_fit(name)
    frame = fit.parameters(0.8)
    for row in frame.to_dict("records"):
        shown, read = READ.get(row["variable"], (row["variable"], lambda draws: draws))
        scale = fit.structure.time_scale if row["variable"] == "location" else 1.0
        assert row["parameter"] == shown
        wanted = np.quantile(scale * read(drawn(fit, row)), [0.1, 0.5, 0.9])
        np.testing.assert_allclose([row["lower"], row["median"], row["upper"]], wanted, rtol=1e-12)
    assert set(frame["ci_prob"]) <= {0.8}
    assert set(frame["ci_kind"]) <= {"eti"}
    assert frame["meaning"].str.len().gt(10).all()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_no_parameter_is_left_out(name):
    """A variable is a row of this frame, or of the two others, or the effects that they and curves are made of."""
    fit = made_up_fit(name)
    variables = set(map(str, fit.posterior["posterior"].data_vars))
    effects = {piece.name for piece in fit.structure.pieces}
    frame = fit.parameters()
    assert set(frame["variable"]) == variables - IN_OTHER_FRAMES - effects
    assert not frame.duplicated(["variable", "of"]).any()


def test_numbers_are_in_the_units_that_are_said():
    """At draws that are all the same: a logit of 0 is 50 %, a log shape of log 2 a shape of 2."""
    problem = case_of("weibull, rounded, frailty, immune")
    layout = problem.problem.density.layout
    assert tuple(layout.fixed) == ("intercept", "coef", "log_shape", "cure_logit")
    natural = constant(5, [0.0, 0.3, np.log(2.0), 0.0], sd=[0.25, 1.3], n_random=layout.n_random)
    frame = fit_at(TIMED["weibull, rounded, frailty, immune"], problem.table, natural).parameters()
    found = dict(zip(frame["parameter"], frame["median"], strict=True))
    assert found == pytest.approx({"shape": 2.0, "frailty_sd": 1.3, "cured_share": 50.0, "country_shape_sd": 0.25})
    assert dict(zip(frame["parameter"], frame["unit"], strict=True)) == {
        "shape": "", "frailty_sd": "", "cured_share": "%", "country_shape_sd": "log shape",
    }  # fmt: skip
    says = dict(zip(frame["parameter"], frame["meaning"], strict=True))
    assert says["shape"] == "the hazard rises with time to the power 1.00"
    assert says["cured_share"] == "50 of 100 customers will never leave"
    assert says["frailty_sd"] == "customers' own rhythms scatter with a standard deviation of 1.30 around 1"
    assert says["country_shape_sd"] == "shapes of two levels in three lie within a factor of 1.28 of the average"


def test_the_median_time_is_the_time_at_which_half_are_left():
    """Two roads: the row, and the survival curve of the reference at that time."""
    case = case_of("lognormal, immune, late")
    layout = case.problem.density.layout
    model = TIMED["lognormal, immune, late"]
    fixed = np.zeros(layout.n_fixed)
    fixed[layout.place("location")], fixed[layout.place("log_spread")] = 0.4, -0.2
    fixed[layout.place("cure_logit")] = -40.0
    fit = fit_at(model, case.table, constant(3, fixed, sd=[0.2] * layout.n_sd, n_random=layout.n_random))
    days = fit.parameters().set_index("parameter").loc["median_time", "median"]

    class Reference:
        schema, codes, values = fit.schema, np.array([[fit.effects.references[0], 0]]), (None, None)

    assert fit.predict_survival_function(Reference, np.array([days])).values == pytest.approx(0.5)


def test_months_and_seasons_are_told_in_per_cent_and_factors():
    model, table = COUNTED["months"][0], COUNTED["months"][1]()
    layout = model.bind(table).density.layout
    names = model.bind(table).structure.sd_names
    sd = [{"month_sd": np.log(1.27), "season_sd": np.log(1.5), "walk_sd": 1.0}.get(name, 0.1) for name in names]
    frame = fit_at(model, table, constant(4, np.zeros(layout.n_fixed), sd=sd, n_random=layout.n_random)).parameters()
    says = dict(zip(frame["parameter"], frame["meaning"], strict=True))
    assert says["month_sd"] == "the level moves by about 27% from month to month"
    assert "factor of 1.50" in says["season_sd"]
    # One doubling of time is log 2 of the walk's own length: sd sqrt(log 2).
    assert f"factor of about {np.exp(np.sqrt(np.log(2))):.2f} per doubling" in says["walk_sd"]


def test_correlations_carry_the_names_of_both_effects():
    model, build = COUNTED["three slopes"]
    table = build()
    layout = model.bind(table).density.layout
    free = np.arctanh(np.array([0.5] * layout.n_free))
    natural = Natural(
        np.zeros((2, layout.n_fixed)),
        np.zeros((2, layout.n_random)),
        np.full((2, layout.n_sd), 0.4),
        np.tile(free, (2, 1)),
    )
    frame = fit_at(model, table, natural).parameters()
    pairs = frame[frame["parameter"] == "country_effect_correlation"].set_index("of")["median"]
    assert len(pairs) == layout.n_free
    first = fit_at(model, table, natural).posterior["posterior"]["country_effect_correlation"]
    for label, value in zip(first.coords["country_pair"].values, first.values[0, 0], strict=True):
        assert pairs[f"country: {label}"] == pytest.approx(value)
    # The first partial correlation is the correlation itself.
    assert pairs.iloc[0] == pytest.approx(0.5)


def test_a_plain_model_has_its_walk_and_its_groups_alone():
    frame = made_up_fit("terms").parameters()
    assert frame["parameter"].tolist() == ["walk_sd"]
    shown = ["parameter", "of", "median", "lower", "upper", "unit", "meaning", "variable", "ci_kind", "ci_prob"]
    assert frame.columns.tolist() == shown


def test_an_impossible_interval_is_refused():
    with pytest.raises(ArgumentError, match=r"ci_prob=1\.5 is no probability"):
        made_up_fit("terms").parameters(1.5)


def test_ratios_are_where_they_were():
    """Who reads ``summary()`` as hazard ratios meets nothing else in it."""
    fit = made_up_fit("frailty and cure")
    assert set(fit.summary()["column"]) == {"plan", "country"}
    assert set(fit.parameters()["parameter"]).isdisjoint(fit.summary()["column"])
