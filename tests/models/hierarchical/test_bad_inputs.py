"""What a newcomer may write by mistake: each refused in words, with a call that works."""

import datetime as dt
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from churnsurv.errors import (
    ArgumentError,
    ConvergenceWarning,
    DataTypeError,
    DataWarning,
    EmptyDataError,
    FormulaError,
    HorizonError,
    ModelSupportError,
    PriorError,
    UnreliableFitError,
)
from churnsurv.models.grammar import tokens
from churnsurv.models.hierarchical.comparison import compare
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import HalfNormal, Normal
from churnsurv.models.saved import load
from churnsurv.models.weibull import WeibullModel
from churnsurv.risk.checks import as_of_check
from churnsurv.risk.predict import churn_risk
from churnsurv.risk.unseen import Unseen
from churnsurv.tables.bins import Quantiles
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow

# So few draws as are made here are too few for the gate.
pytestmark = pytest.mark.filterwarnings("ignore::churnsurv.errors.ConvergenceWarning")
QUICK = {"method": "laplace", "draws": 100}
WORDS = {one.__name__: one for one in (
    CellTable, Episodes, HierarchicalModel, HalfNormal, Normal, OpenSpells, PeriodTable, Quantiles, churn_risk,
)}  # fmt: skip


def follow(hint, **names):
    """What a hint says, done: the first call of it."""
    for text in hint.split("; ")[:-1]:
        name, _, call = text.partition(" = ")
        names[name] = eval(call, WORDS | names)  # noqa: S307 - that it can be pasted is what is tested
    call = hint.split("; ")[-1].split(", or ", maxsplit=1)[0].removesuffix(".")
    return eval(call, WORDS | names)  # noqa: S307


def frame_of(n=150):
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "who": [f"c{k:03}" for k in range(n)],
        "days": rng.exponential(60.0, n).round(3) + 0.5,
        "event": rng.integers(0, 2, n),
        "plan": [("basic", "pro")[k % 2] for k in range(n)],
        "country": [("DE", "FR", "UK")[k % 3] for k in range(n)],
        "same": "x",
        "price": rng.normal(50.0, 10.0, n).round(3),
    })  # fmt: skip


def spells_of(frame):
    return SpellTable.from_durations(
        frame, duration="days", event="event", unit="day", customer="who",
        labels=["plan", "country", "same"], values=["price"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def frame():
    return frame_of()


@pytest.fixture(scope="module")
def spells(frame):
    return spells_of(frame)


@pytest.fixture(scope="module")
def periods(spells):
    return PeriodTable.from_spells(spells)


@pytest.fixture(scope="module")
def cells(periods):
    return CellTable.from_periods(periods, customers=True)


def quick(model, table, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(table, **QUICK | settings)


@pytest.fixture(scope="module")
def fit(cells):
    return quick(HierarchicalModel("plan"), cells)


@pytest.fixture(scope="module")
def rows(spells, fit):
    return next(OpenSpells.batches(spells, fit.schema))


@pytest.fixture(scope="module")
def log_spells():
    rng, found = np.random.default_rng(1), []
    for owner in range(30):
        day = rng.uniform(0.0, 30.0)
        while day < 300.0:
            found.append((f"c{owner:02}", dt.datetime(2023, 1, 1) + dt.timedelta(days=day), "order"))
            day += rng.exponential(20.0)
    log = EventLog.from_frame(
        pd.DataFrame(found, columns=["who", "at", "kind"]), customer="who", time="at", kind="kind", timezone="UTC"
    )
    return SpellTable.from_events(log, ObservationWindow("2023-01-01", "2023-10-28"), Silence(("order",), 60))


@pytest.mark.parametrize(
    ("settings", "error", "what", "meant"),
    [
        ({"formula": None}, DataTypeError, "formula=None is NoneType", {}),
        ({"formula": 3}, DataTypeError, "formula=3 is int", {}),
        ({"formula": ["plan", "price band"]}, DataTypeError, "is list, not text", {"formula": "plan + `price band`"}),
        ({"priors": [Normal(0, 1)]}, DataTypeError, "no mapping of names", {"priors": {"intercept": Normal(0, 1)}}),
        ({"priors": HalfNormal(1)}, DataTypeError, "no mapping of names", {"priors": {"walk_sd": HalfNormal(1)}}),
        ({"groups": [1]}, DataTypeError, "1 of 1 entries are no column names: 1", {"groups": ("1",)}),
        ({"groups": (("plan", "1 + x"),)}, ArgumentError, "no column names", {"groups": {"plan": "1 + x"}}),
        ({"groups": {"plan": 1}}, DataTypeError, "1 of 1 entries are no texts", {"groups": ("plan",)}),
        ({"baseline": "weibul"}, ArgumentError, "baseline='weibul' is unknown", {"baseline": "weibull"}),
    ],
)
def test_settings_of_a_model(settings, error, what, meant):
    with pytest.raises(error, match=what) as caught:
        HierarchicalModel(**settings)
    assert follow(caught.value.hint.split("; ", maxsplit=1)[0]) == HierarchicalModel(**meant)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"groups": None}, "groups=()"),
        ({"groups": "plan"}, r"groups=\('plan',\)"),
        ({"shape_groups": {"plan": "1"}}, r"shape_groups=\('plan',\)"),
        ({"baseline": ["piecewise"]}, "baseline is 'piecewise' or"),
        ({"cure": 1}, "cure is False or True"),
    ],
)
def test_other_settings_of_a_model(settings, hint):
    with pytest.raises((ArgumentError, DataTypeError)) as caught:
        HierarchicalModel(**settings)
    assert caught.match(hint.replace("()", r"\(\)"))


def test_names_that_were_misspelt(cells):
    with pytest.raises(FormulaError, match="formula and groups: 2 of 2 names are no column of the cells") as caught:
        HierarchicalModel("plann", groups={"contry": "1 + plann"}).fit(cells)
    assert follow(caught.value.hint) == HierarchicalModel("plan", groups={"country": "1 + plan"})
    with pytest.raises(FormulaError, match="columns are: price, plan, country, same") as caught:
        HierarchicalModel("zzz").fit(cells)
    with pytest.raises(PriorError, match="name no parameter") as caught:
        HierarchicalModel("plan", priors={"coeff": Normal(0, 0.5)}).bind(cells)
    assert follow(f"dict({caught.value.hint.split('; ', maxsplit=1)[0]})") == {"priors": {"coef": Normal(0, 0.5)}}


@pytest.mark.parametrize(
    ("formula", "model"),
    [
        ("plan + (1|country)", HierarchicalModel("plan", groups=("country",))),
        ("(1 | country) + (1|plan)", HierarchicalModel(groups=("country", "plan"))),
        ("price + (1 + price | country)", HierarchicalModel("price", groups={"country": "1 + price"})),
        ("price + (price || region/shop)", HierarchicalModel("price", groups={"region:shop": "1 + price"})),
    ],
)
def test_effects_by_group_as_others_write_them(formula, model):
    with pytest.raises(FormulaError, match="effects by level of a group") as caught:
        tokens(formula)
    assert follow(caught.value.hint) == model


@pytest.mark.parametrize(
    ("formula", "meant"), [("0 + x", "x"), ("x - 1", "x"), ("x + 0 + y", "x + y"), ("0 + ", "1"), ("x -1 + y", "x + y")]
)
def test_a_formula_without_an_intercept(formula, meant):
    with pytest.raises(FormulaError, match="leaves the intercept out") as caught:
        tokens(formula)
    assert caught.value.hint == f"formula={meant!r}"
    assert tokens(meant)


def test_one_piece_of_a_formula_is_named_whole():
    with pytest.raises(FormulaError, match=r"'\^second_long_one' is not allowed"):
        tokens("a_very_long_name ^second_long_one + x")


def test_tables_of_another_kind(spells, periods, cells):
    for table, given, n in ((spells, "spells", 2), (periods, "periods", 1)):
        with pytest.raises(ModelSupportError, match=f"fits on cells, and was given {given}") as caught:
            HierarchicalModel("plan", frailty="gamma").fit(table)
        first, _, second = caught.value.hint.partition(", or ")
        assert first.count("from_") == n
        for hint in (first, second):
            call = hint.replace(".fit(", ".bind(")
            assert follow(call, spells=spells, periods=periods).structure.layout.frailty
    with pytest.raises(ModelSupportError, match="baseline='weibull' fits on episodes, periods or spells") as caught:
        HierarchicalModel("plan", baseline="weibull", rounded=1.0).fit(cells)
    own, _, other = caught.value.hint.replace(".fit(", ".bind(").partition(", or on these cells ")
    assert len(follow(own, spells=spells).structure.terms) == 1
    assert follow(other, cells=cells).structure.variables()["log_baseline"]
    for table in (frame_of(5), None):
        with pytest.raises(ModelSupportError, match=r"was given (DataFrame|NoneType)[\s\S]*SpellTable.from_durations"):
            HierarchicalModel().fit(table)


def test_months_of_durations_and_of_logs(cells, spells, log_spells):
    for table, model in (
        (cells, HierarchicalModel("plan", calendar=True)),
        (spells, HierarchicalModel("plan", calendar=True)),
        (spells, HierarchicalModel("plan", calendar=True, baseline="weibull")),
    ):
        with pytest.raises(ModelSupportError, match="durations, which carry no dates") as caught:
            model.fit(table)
        assert follow(caught.value.hint) == replace(model, calendar=False)
    model = HierarchicalModel(calendar=True, frailty="gamma")
    with pytest.raises(ModelSupportError, match="not split on them") as caught:
        model.fit(CellTable.from_periods(PeriodTable.from_spells(log_spells), customers=True))
    assert model.bind(follow(caught.value.hint, spells=log_spells))
    with pytest.raises(ModelSupportError, match="was given spells") as caught:
        model.fit(log_spells)
    assert follow(caught.value.hint.replace(".fit(", ".bind("), spells=log_spells).structure.months


@pytest.mark.parametrize(
    "settings",
    [
        {"groups": ("same", "country")},
        {"groups": ("country",), "shape_groups": ("same",)},
        {"groups": {"same:same": "1"}},
    ],
)
def test_groups_of_one_level(cells, settings):
    model = HierarchicalModel("plan", **settings)
    if "same:same" in settings["groups"]:
        with pytest.raises(FormulaError, match="stand twice"):
            model.fit(cells)
        return
    with pytest.raises(FormulaError, match="1 of 2 groups have one level: same is always x") as caught:
        model.fit(cells)
    kept = follow(caught.value.hint)
    assert kept == HierarchicalModel("plan", groups=("country",))
    dropping = replace(model, on_bad="drop", priors={"same_effect_sd": HalfNormal(1.0)})
    with pytest.warns(DataWarning, match="left out 1 of 2 groups, which have one level: same is always x"):
        assert set(dropping.bind(cells).structure.groups) == {"country"}


def test_a_fit_without_a_group_that_was_left_out_can_be_loaded(cells, tmp_path):
    model = HierarchicalModel(groups=("same",), shape_groups=("same",), on_bad="drop")
    with pytest.warns(DataWarning, match="left out 1 of 1 groups"):
        fit = quick(model, cells)
    fit.save(tmp_path / "fit")
    assert load(tmp_path / "fit").model == fit.model == HierarchicalModel(on_bad="drop")


def test_a_group_of_one_level_among_rows(spells):
    model = HierarchicalModel("plan", groups={"same": "1 + plan"}, baseline="weibull")
    with pytest.raises(FormulaError, match="1 of 1 groups have one level"):
        model.prior_predictive(spells)
    with pytest.warns(DataWarning, match="left out 1 of 1 groups"):
        assert not replace(model, on_bad="drop").bind(spells).structure.groups


def test_numbers_are_no_groups_unless_binned(spells):
    model = HierarchicalModel(groups=("price", "country"), baseline="weibull")
    with pytest.raises(ModelSupportError, match="1 of 2 columns of groups are numbers without bins: price") as caught:
        model.fit(spells)
    hint = caught.value.hint.replace(".fit(", ".bind(")
    assert follow(hint, spells=spells).structure.groups["price"].n_levels == 4


def test_what_a_fit_is_told_and_asked(fit, frame, spells, rows, cells):
    with pytest.raises(DataTypeError, match="progress='yes'"):
        HierarchicalModel("plan").fit(cells, progress="yes")
    with pytest.raises(DataTypeError, match="path=3"):
        fit.save(3)
    with pytest.raises(DataTypeError, match="times='abc'"):
        HierarchicalModel("plan").prior_predictive(cells, times="abc")
    for call in (fit.predict_survival_function, fit.predict_hazard, fit.predict_cumulative_hazard):
        for bad in (frame, spells, "c001"):
            with pytest.raises(DataTypeError, match=r"OpenSpells\.batches") as caught:
                call(bad, [30])
        assert follow(caught.value.hint, spells=spells, fit=fit).sizes["time"] == 2
        with pytest.raises(HorizonError, match="2 of 3 times are no days from zero on: -3") as caught:
            call(rows, [-3, 30, np.nan])
        assert (caught.value.count, caught.value.total) == (2, 3)
        call(rows, follow(f"dict({caught.value.hint})")["times"])
        with pytest.raises(ArgumentError, match="in a sequence") as caught:
            call(rows, 30)
        assert caught.value.hint == "times=[30]"
    for bad in ([30, 90], "90", np.nan):
        with pytest.raises(HorizonError, match="is no number of days ahead") as caught:
            fit.expected_remaining_lifetime(rows, bad)
        assert ("one call for each" in caught.value.hint) == isinstance(bad, list)
    for bad in (spells, cells):
        with pytest.raises(DataTypeError, match="which the fit cannot read") as caught:
            fit.expected_remaining_lifetime(bad, 90)
        for call in (lambda bad=bad: fit.conditional_survival(bad, [[30]]), lambda bad=bad: fit.unseen(bad.frame())):
            with pytest.raises(DataTypeError, match="which the fit cannot read"):
                call()
        assert follow(caught.value.hint, spells=spells, fit=fit).sizes["customer"] == len(rows)


def test_checks_of_what_is_no_spells_and_at_no_times(fit, cells, spells):
    with pytest.raises(DataTypeError, match="was given CellTable") as caught:
        fit.check_survival(cells, "country")
    assert len(follow(caught.value.hint.split(", the", maxsplit=1)[0], fit=fit, spells=spells))
    with pytest.raises(HorizonError, match="1 of 2 times are no days"):
        fit.check_survival(spells, times=[-3, 30])
    with pytest.raises(HorizonError, match="1 of 2 times lie beyond the last break") as caught:
        fit.check_survival(spells, times=[30, 5000])
    assert follow(caught.value.hint, fit=fit, spells=spells)["time"].tolist() == [30.0]
    last = fit.schema.breaks[-1]
    with pytest.raises(EmptyDataError, match=f"fewer than 10 spells are at risk at {last:g} days"):
        fit.check_survival(spells, times=[last])
    with pytest.raises(ArgumentError, match="no column") as caught:
        fit.check_survival(spells, "contry")
    assert set(follow(caught.value.hint.split("; ", maxsplit=1)[0], fit=fit, spells=spells)["group"]) == {
        "DE",
        "FR",
        "UK",
    }


def test_comparisons(fit, cells, periods):
    other = quick(HierarchicalModel("plan", groups=("country",)), cells)
    named = compare([fit, other])
    assert set(named.frame()["name"]) == {"plan, piecewise", "plan, piecewise, country"}
    assert set(compare((fit, fit)).frame()["name"]) == {"fit 1", "fit 2"}
    weibull = WeibullModel("plan").fit(Episodes.from_periods(periods))
    with pytest.raises(DataTypeError, match="1 of 2 fits are none of a HierarchicalModel: b is WeibullFit"):
        compare({"a": fit, "b": weibull})
    for few in (fit, [fit], {"a": fit}):
        with pytest.raises(ArgumentError, match="two fits or more, and was given 1"):
            compare(few)


@pytest.mark.parametrize("horizon", ["30", ["30"], True, None, [[30, 60]], {30}])
def test_horizons_that_are_no_numbers(fit, spells, horizon):
    with pytest.raises(ArgumentError, match="is not a number of days") as caught:
        churn_risk(fit, spells, horizon)
    assert caught.value.hint == "write horizon=[30, 60, 90]."


def test_horizons_that_are_not_ahead(fit, spells, log_spells):
    for bad in (-30, 0, float("nan"), float("inf")):
        with pytest.raises(HorizonError, match="1 of 2 horizons are not ahead") as caught:
            churn_risk(fit, spells, [bad, 45])
        assert caught.value.hint == "write horizon=[45]."
        with pytest.raises(HorizonError, match="1 of 1 horizons") as caught:
            churn_risk(fit, log_spells, bad)
        assert caught.value.hint == "write horizon=[30, 60]."  # 90 days are more than the silence that counts


def test_settings_of_a_check_of_the_past(log_spells):
    model = HierarchicalModel()
    with pytest.raises(ArgumentError, match=r"1 of 2 settings are none of HierarchicalModel\.fit: metod") as caught:
        as_of_check(log_spells, model, settings={"metod": "laplace", "draws": 100})
    assert "settings={'method': 'laplace', 'draws': 100}; settings are: draws, tune" in caught.value.hint
    with pytest.raises(ArgumentError, match="arguments of the check itself"):
        as_of_check(log_spells, model, settings={"rng": 3})
    with pytest.raises(ArgumentError, match="is not a number of days"):
        as_of_check(log_spells, model, horizon="30")
    with pytest.raises(ArgumentError, match="names 2 horizons"):
        as_of_check(log_spells, model, horizon=[30, 60])


def test_levels_that_were_never_seen_are_named(fit, frame):
    new = frame.assign(plan=["gold"] * 30 + ["lead"] * 20 + list(frame["plan"][50:]))
    open_ = new[new["event"] == 0]
    risk = churn_risk(fit, spells_of(new), 30, allow_unreliable=True)
    n = {level: int((open_["plan"] == level).sum()) for level in ("gold", "lead")}
    told = f"{sum(n.values())} of {len(open_)} customers have a plan that the fit has never seen ('gold', 'lead')"
    assert [told in text for text in risk.caveats].count(True) == 1
    assert "HierarchicalModel(groups=('plan',))" in str(risk)
    assert (risk.frame()["status"] == "refused").sum() == sum(n.values())
    seen = churn_risk(fit, spells_of(frame), 30, allow_unreliable=True)
    assert not any("never seen" in text for text in seen.caveats)


def test_numbers_far_from_all_that_was_learnt_from(frame, spells):
    """A price of a million: a hazard without bound, told as extrapolated, and not by a warning of NumPy's."""
    fit = quick(HierarchicalModel("price", baseline="weibull"), spells)
    fit = replace(fit, info=replace(fit.info, status="ok"))
    for price in (1e6, -1e6):
        far = spells_of(frame.assign(price=[price] * 20 + list(frame["price"][20:])))
        risk = churn_risk(fit, far, 30).frame().set_index("customer_id")
        odd = [name for name in frame["who"][:20] if name in risk.index]
        assert set(risk.loc[odd, "status"]) == {"extrapolated"}
        assert risk.loc[odd, "churn_probability"].between(0, 1).all()
    rows = next(OpenSpells.batches(spells, fit.schema))
    price, asked, unseen = np.array(rows.values[0]), np.arange(len(rows)) != 2, Unseen(fit)
    price[:5] = np.nan
    unseen.add(replace(rows, values=(price, *rows.values[1:])), asked)
    assert unseen.sentences(99) == ("4 of 99 customers have no price: their risk could not be told (refused).",)


def test_one_chain_is_compared_with_none(cells, spells):
    with pytest.warns(ConvergenceWarning, match="there is one chain, and nothing to compare it with") as told:
        fit = HierarchicalModel().fit(cells, chains=1, draws=10, tune=10, target_accept=0.99)
    text = str(told[0].message)
    assert "Hint: fit(chains=4)" in text
    assert "disagree" not in text
    with pytest.raises(UnreliableFitError, match=r"model\.fit\(table, chains=4\)"):
        churn_risk(fit, spells)


def test_ways_out_of_a_fit_that_failed(fit, spells):
    for info, hint in (
        ({"status": "unreliable", "method": "laplace"}, 'fit = model.fit(table, method="nuts")'),
        ({"status": "interrupted", "method": ""}, "fit again, to the end: fit = model.fit(table)"),
        ({"status": "unreliable", "method": ""}, "fit = model.fit(table, draws=4000)"),
    ):
        failed = replace(fit, info=replace(fit.info, messages=("no.",), ess_min=9.0, **info))
        with pytest.raises(UnreliableFitError) as caught:
            churn_risk(failed, spells)
        assert caught.value.hint.startswith(hint)
        call = caught.value.hint[caught.value.hint.index("churn_risk(") :]
        assert len(follow(call, fit=failed, spells=spells).frame())


def test_a_fit_that_was_stopped_says_so_at_once(cells):
    def stop(share, _):
        if share > 0.9:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="is not whole: sampling was stopped by hand") as told:
        fit = HierarchicalModel().fit(cells, chains=2, draws=30, tune=5, progress=stop)
    assert fit.info.status == "interrupted"
    assert "Hint: fit again" in str(told[0].message)


def test_few_events_are_told_by_their_number(frame):
    few = spells_of(frame.assign(event=[1] + [0] * (len(frame) - 1)))
    with pytest.warns(DataWarning, match=r"1 event for 1 term: 1\.0 events per term[\s\S]*model\.priors_for\(table\)"):
        HierarchicalModel("plan", baseline="weibull").fit(few, **QUICK)


def test_what_is_left_out_of_rows_is_said_once(spells):
    with pytest.warns(DataWarning, match="left out") as told:
        quick(HierarchicalModel("same + plan", baseline="weibull", on_bad="drop"), spells)
    assert sum("same (always the same)" in str(one.message) for one in told) == 1


def test_words_of_the_prior_predictive_fit_the_model(cells):
    text = {name: str(model.prior_predictive(cells, n_draws=20)) for name, model in (
        ("none", HierarchicalModel()),
        ("columns", HierarchicalModel("plan")),
        ("groups", HierarchicalModel(groups=("country",))),
        ("both", HierarchicalModel("plan", groups=("country",))),
    )}  # fmt: skip
    assert "everyone (the model knows no columns)" in text["none"]
    assert {name for name, told in text.items() if "group" in told} == {"groups", "both"}
    assert "her pattern from the data\n" in text["columns"]
    assert "the reference (average group)" in text["groups"]
    assert "the reference (average group, every column at its reference level)" in text["both"]


def test_durations_of_whom_nobody_has_left(frame):
    """No value is taken for churn that means the opposite: ``churned="no"`` would let everybody leave."""
    kept = frame.assign(event="no")
    with pytest.raises(ArgumentError, match="churned='yes' is nowhere in 'event'; all 150 values are 'no'") as caught:
        SpellTable.from_durations(kept, duration="days", event="event", churned="yes", unit="day")
    assert "churned='no'" not in str(caught.value)


@pytest.mark.parametrize(
    "setting", ["formula", "groups", "shape_groups", "priors", "baseline", "frailty", "rounded", "on_bad"]
)
def test_every_refusal_is_one_of_the_library(setting):
    for bad in (3, ["a", 1], object()):
        with pytest.raises((ArgumentError, DataTypeError), match="Hint: "):
            HierarchicalModel(**{setting: bad if setting != "rounded" else -1})
