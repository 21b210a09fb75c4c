"""What a composition refuses before any work, each with a call that works."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from churnsurv.errors import ArgumentError, DataTypeError, FormulaError, ModelSupportError, PriorError
from churnsurv.models.hierarchical import fitting, laplace, refusals
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.priors import LKJ, Exponential, HalfNormal, Normal, StudentT, prior_from_json
from churnsurv.models.saved import load
from churnsurv.tables.cells import CellTable
from churnsurv.tables.churn import Silence
from churnsurv.tables.episodes import Episodes
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Count
from churnsurv.tables.periods import PeriodTable
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import ObservationWindow
from tests.models.conftest import shop_table
from tests.models.hierarchical.compositions import spells_of, tenures

# So few draws as are made here are too few for the gate.
pytestmark = pytest.mark.filterwarnings("ignore::churnsurv.errors.ConvergenceWarning")
CURED = HierarchicalModel(cure=True)
WORDS = {
    "CellTable": CellTable,
    "Episodes": Episodes,
    "HierarchicalModel": HierarchicalModel,
    "PeriodTable": PeriodTable,
    "Normal": Normal,
    "HalfNormal": HalfNormal,
}


@pytest.fixture(scope="module")
def spells():
    """Customers of whom one in five has left for good after each order; some gaps last a year."""
    rng, rows = np.random.default_rng(1), []
    for owner in range(150):
        day = rng.uniform(0.0, 150.0)
        while day < 400.0:
            rows.append((f"c{owner:03}", dt.datetime(2023, 1, 1) + dt.timedelta(days=day), "order"))
            day = day + rng.exponential(30.0) if rng.random() > 0.2 else 400.0
    frame = pd.DataFrame(rows, columns=["who", "at", "kind"])
    log = EventLog.from_frame(frame, customer="who", time="at", kind="kind", timezone="UTC")
    return SpellTable.from_events(log, ObservationWindow("2023-01-01", "2024-02-05"), Silence(("order",), 90))


@pytest.fixture(scope="module")
def shop():
    return shop_table()


def counted(spells, **settings):
    return CellTable.from_periods(PeriodTable.from_spells(spells, **settings), customers=True)


def cut(spells, **settings):
    return Episodes.from_periods(PeriodTable.from_spells(spells, **settings))


SHORT = {"breaks": (0, 10, 20, 40)}
MOVING = {"features": [Count("order", days=60, name="orders")], "as_of": "period"}


def follow(hint, **names):
    """What a hint says, done."""
    return eval(hint, WORDS | names)  # noqa: S307 - that it can be pasted is what is tested


@pytest.mark.parametrize("made", [counted, cut])
@pytest.mark.parametrize(
    "settings", [SHORT, SHORT | {"calendar": "month"}, SHORT | MOVING], ids=["plain", "months", "moving"]
)
def test_cure_refuses_breaks_that_end_before_the_longest_gap(spells, made, settings):
    table = made(spells, **settings)
    frame = spells.frame()
    late = np.maximum(frame["exit"] - 40.0, 0.0)
    with pytest.raises(ModelSupportError, match="beyond the last break, 40 days") as caught:
        CURED.fit(table)
    if settings is SHORT:
        n = int(((frame["exit"] > 40.0) & (frame["event"] > 0)).sum())
        days = f"{late.sum():,.0f} of {frame['exit'].sum():,.0f} days at risk"
        assert f"{days} and {n} of {(frame['event'] > 0).sum()} events" in str(caught.value)
        assert (caught.value.count, caught.value.total) == (n, int((frame["event"] > 0).sum()))
    again = follow(caught.value.hint, spells=spells, cells=table, episodes=table)
    assert again.schema.calendar == table.schema.calendar
    assert CURED.bind(again).structure.cured


def test_what_lies_beyond_the_breaks_is_refused_on_rows_of_any_baseline(spells):
    """Where features move, rows end with the last break, whatever the baseline."""
    smooth = HierarchicalModel(cure=True, baseline="weibull")
    with pytest.raises(ModelSupportError, match="beyond the last break"):
        smooth.bind(cut(spells, **SHORT, **MOVING))
    assert smooth.bind(cut(spells, **SHORT)).structure.cured


def test_breaks_may_end_early_without_cure_or_on_the_tenure_clock(spells):
    assert HierarchicalModel(frailty="gamma").bind(counted(spells, **SHORT))
    contracts = Episodes.from_spells(spells_of(tenures()))
    short = CellTable.from_periods(PeriodTable.from_spells(spells_of(tenures()), breaks=[0, 20, 40]), customers=True)
    assert contracts.start.any()
    assert short.customers.before_exposure.sum() > 0
    for table in (contracts, short):
        assert CURED.bind(table).structure.cured


@pytest.mark.parametrize(
    ("made", "what"), [(counted, "of 150 customers have spells that come in late"), (cut, "spells come in late")]
)
def test_cure_refuses_gaps_that_come_in_late(spells, made, what):
    table = made(spells, **MOVING)
    with pytest.raises(ModelSupportError, match=what) as caught:
        CURED.fit(table)
    if made is cut:
        first = pd.DataFrame({"who": table.customer_id, "spell": table.spell, "at": table.start})
        first = first.groupby(["who", "spell"])["at"].min()
        assert (caught.value.count, caught.value.total) == (int((first > 0).sum()), len(first))
        assert f"{first.sum():,.0f} days" in str(caught.value)
    again = follow(caught.value.hint, spells=spells, cells=table, episodes=table)
    assert again.schema.as_of == "spell"
    assert CURED.bind(again).structure.cured
    assert HierarchicalModel(frailty="gamma").bind(table)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"shape_groups": ("country", "country")}, {"shape_groups": ("country",)}),
        ({"groups": ("plan:country", "country:plan")}, {"groups": ("plan:country",)}),
        ({"groups": ("plan:country", "plan: country")}, {"groups": ("plan:country",)}),
        ({"groups": ("country:country",), "frailty": None}, {"groups": ("country",)}),
        ({"groups": {"plan": "1 + price", "plan ": "1"}}, {"groups": {"plan": "1 + price"}}),
    ],
)
def test_the_same_columns_are_one_group(shop, settings, kept):
    with pytest.raises(
        FormulaError, match=r"(groups|shape_groups): [12] of [12] name columns that stand twice"
    ) as caught:
        HierarchicalModel("price", **settings).fit(shop)
    again = follow(caught.value.hint)
    assert again == HierarchicalModel("price", **kept)
    assert again.bind(shop)


def test_a_group_may_have_a_shape_of_its_own_and_may_not_be_in_the_formula(shop):
    both = HierarchicalModel(groups=("country",), shape_groups=("country",)).bind(shop)
    assert both.structure.sd_names == ("walk_sd", "country_effect_sd", "country_walk_sd")
    with pytest.raises(FormulaError, match="1 of 1 groups stand twice") as caught:
        HierarchicalModel("price", groups=("price ",)).bind(shop)
    assert follow(caught.value.hint) == HierarchicalModel("price")


def labelled(**columns):
    """Contracts with columns of these names."""
    import pyarrow as pa

    rng, n = np.random.default_rng(0), 60
    frame = {"who": [f"{k:02}" for k in range(n)], "days": rng.exponential(30.0, n) + 0.5, "event": [1, 1, 0] * 20}
    frame |= {name: [levels[k % len(levels)] for k in range(n)] for name, levels in columns.items()}
    return SpellTable.from_durations(
        pa.table(frame), duration="days", event="event", unit="day", customer="who", labels=list(columns)
    )


@pytest.mark.parametrize(
    ("name", "baseline", "settings"),
    [
        ("walk_sd", "piecewise", {}),
        ("log_baseline", "piecewise", {}),
        ("log_shape", "weibull", {}),
        ("location", "lognormal", {}),
        ("log_spread", "lognormal", {}),
        ("cure_logit", "weibull", {"cure": True}),
        ("frailty_sd", "weibull", {"frailty": "gamma"}),
        ("intercept", "weibull", {}),
        ("X_effect", "piecewise", {"groups": ("X", "X_effect")}),
        ("X_term", "piecewise", {"groups": ("X_term", "X")}),
        ("X_walk_sd", "piecewise", {"groups": ("X_walk_sd",), "shape_groups": ("X",)}),
        ("log", "weibull", {"groups": (), "shape_groups": ("log",)}),
    ],
)
def test_groups_whose_name_the_posterior_needs(name, baseline, settings, monkeypatch):
    monkeypatch.setattr(fitting, "fit_problem", lambda *a, **k: pytest.fail("worked"))
    columns = {"X": "ABC", name: "DEFGH"}
    table = Episodes.from_spells(labelled(**columns))
    model = HierarchicalModel(baseline=baseline, **{"groups": (name,)} | settings)
    if baseline == "piecewise":
        table = CellTable.from_periods(PeriodTable.from_spells(labelled(**columns)))
    with pytest.raises(FormulaError, match=f"groups have a name that the posterior uses itself: {name}\\.") as caught:
        model.fit(table)
    call = caught.value.hint.removeprefix("frame = ")
    new = follow(call, frame=pd.DataFrame(columns=[name])).columns[0]
    assert new != name
    clear = {key: tuple(new if one == name else one for one in value) if isinstance(value, tuple) else value
             for key, value in ({"groups": (name,)} | settings).items()}  # fmt: skip
    columns = {"X": "ABC", new: "DEFGH"}
    table = Episodes.from_spells(labelled(**columns))
    if baseline == "piecewise":
        table = CellTable.from_periods(PeriodTable.from_spells(labelled(**columns)))
    assert HierarchicalModel(baseline=baseline, **clear).bind(table)


def test_names_that_another_composition_needs_are_free():
    table = Episodes.from_spells(labelled(location="ABC", log_baseline="DE"))
    model = HierarchicalModel(groups=("location", "log_baseline"), baseline="weibull")
    fit = model.fit(table, method="laplace", draws=50)
    assert fit.posterior["posterior"]["location_effect"].dims == ("chain", "draw", "location")


def test_a_feature_is_renamed_where_it_is_made(spells):
    made = PeriodTable.from_spells(spells, features=[Count("order", days=60, name="walk_sd")])
    with pytest.raises(FormulaError, match=r"Hint: Count\(…, name='walk_sd_column'\)"):
        HierarchicalModel(groups=("walk_sd",)).bind(CellTable.from_periods(made))


@pytest.mark.parametrize(
    ("settings", "error", "what"),
    [
        ({"draws": 0}, ArgumentError, "`draws`=0 is below 1"),
        ({"draws": -5}, ArgumentError, "`draws`=-5 is below 1"),
        ({"draws": 100.0}, DataTypeError, "`draws`=100.0 is not a whole number"),
        ({"chains": 0}, ArgumentError, "`chains`=0 is below 1"),
        ({"tune": -1}, ArgumentError, "`tune`=-1 is below 0"),
        ({"target_accept": 1.5}, ArgumentError, "`target_accept`=1.5 is not strictly between 0 and 1"),
        ({"target_accept": float("nan")}, ArgumentError, "`target_accept`=nan is not strictly"),
        ({"target_accept": True}, DataTypeError, "`target_accept`=True is not a number"),
        ({"rng": -1}, ArgumentError, "`rng`=-1 is negative"),
        ({"rng": 1.5}, DataTypeError, "`rng`=1.5 is not a seed"),
        ({"rng": None}, DataTypeError, "`rng`=None is not a seed"),
        ({"rng": True}, DataTypeError, "`rng`=True is not a seed"),
        ({"method": "laplace", "draws": 1, "chains": 1}, ArgumentError, "make 1 draws; an approximation needs 100"),
        ({"method": "laplace", "draws": 99, "chains": 1}, ArgumentError, "make 99 draws"),
    ],
)
def test_settings_nothing_can_be_drawn_with(shop, settings, error, what, monkeypatch):
    monkeypatch.setattr(fitting, "find_mode", lambda *a, **k: pytest.fail("worked"))
    with pytest.raises(error, match=what) as caught:
        HierarchicalModel("plan").fit(shop, **settings)
    assert caught.value.hint


def test_the_fewest_draws_of_an_approximation_are_enough(shop):
    model = HierarchicalModel("plan")
    fit = model.fit(shop, method="laplace", draws=np.int64(refusals.FEWEST_WEIGHED), chains=1, rng=np.int64(3))
    assert np.isfinite(fit.info.pareto_k)
    assert fit.info.pareto_k < laplace.K_LIMIT
    assert (fit.seed, type(fit.seed)) == (3, int)


def test_settings_of_the_prior_predictive(shop, monkeypatch):
    monkeypatch.setattr(HierarchicalModel, "_read", lambda *a: pytest.fail("worked"))
    for settings, error in (
        ({"n_draws": 0}, ArgumentError),
        ({"rng": 1.5}, DataTypeError),
        ({"rng": -1}, ArgumentError),
    ):
        with pytest.raises(error, match=next(iter(settings))):
            HierarchicalModel("plan").prior_predictive(shop, **settings)


@pytest.mark.parametrize("prior", [HalfNormal(9e-5), Exponential(1e-8)])
@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("country_effect_sd", "country out of groups"),
        ("country_walk_sd", "country out of shape_groups"),
        ("walk_sd", "all breaks but"),
    ],
)
def test_what_may_not_vary_is_no_part_of_the_model(shop, prior, name, left_out):
    settings = {"groups": ("country",), "shape_groups": ("country",)}
    with pytest.raises(PriorError, match=rf"holds {name} next to 0[\s\S]*leave {left_out}") as caught:
        HierarchicalModel(priors={name: prior}, **settings).fit(shop)
    again = follow(f"dict({caught.value.hint[caught.value.hint.index('priors=') :]})")
    fit = HierarchicalModel(**again, **settings).fit(shop, method="laplace", draws=50)
    assert np.isfinite(fit.info.pareto_k)


def test_the_smallest_scale_that_is_accepted_has_a_mode(shop):
    names = ("walk_sd", "country_effect_sd")
    model = HierarchicalModel(groups=("country",), priors=dict.fromkeys(names, HalfNormal(1e-4)))
    problem = model.bind(shop)
    mode = fitting.find_mode(problem.density, problem.start)
    assert np.all(np.isfinite(mode.position))
    assert np.all(np.linalg.eigvalsh(mode.covariance) > 0)


@pytest.mark.parametrize(
    ("formula", "slope"),
    [
        ("plan + price", "1 + plan:price"),
        ("plan * price", "1 + plan:price"),
        ("plan:price", "1 + plan"),
        ("1", "1 + plan"),
        ("price", "plan * price"),
    ],
)
def test_a_slope_is_a_term_of_the_formula(shop, formula, slope):
    """Effects by level scatter around an average: where the formula has none, it would be taken for nothing."""
    with pytest.raises(FormulaError, match=r"by country and (is|are) not in the formula, \d of \d terms") as caught:
        HierarchicalModel(formula, groups={"country": slope}).fit(shop)
    structure = follow(caught.value.hint).bind(shop).structure
    assert set(structure.groups["country"].terms) <= {"1", *structure.terms.labels}
    assert len(structure.groups["country"].terms) > 1


def test_a_slope_within_the_formula_is_taken(shop):
    structure = HierarchicalModel("plan * price", groups={"country": "1 + plan * price"}).bind(shop).structure
    assert structure.groups["country"].terms[1:] == structure.terms.labels


@pytest.mark.parametrize("slope", ["1", "1 + 1", " (1) ", ""])
def test_an_intercept_alone_is_one_however_it_is_written(shop, slope, tmp_path):
    model = HierarchicalModel("plan", groups={"country": slope})
    assert model == HierarchicalModel("plan", groups=("country",))
    assert HierarchicalModel(groups={"country": slope, "plan": "1 + price"}).slopes["country"] == "1"
    model.fit(shop, method="laplace", draws=50).save(tmp_path / "fit")
    assert load(tmp_path / "fit").model == model


def test_a_slope_that_is_always_the_same_can_be_loaded(tmp_path):
    spells = labelled(kind="A", country="DEF", plan="xy")
    cells = CellTable.from_periods(PeriodTable.from_spells(spells))
    model = HierarchicalModel("kind + plan", groups={"country": "1 + kind"}, on_bad="drop")
    with pytest.warns(UserWarning, match="left out"):
        fit = model.fit(cells, method="laplace", draws=50)
    fit.save(tmp_path / "fit")
    assert load(tmp_path / "fit").structure.groups["country"].terms == ("1",)


def test_settings_of_priors_are_plain_numbers(shop, tmp_path):
    prior = Normal(np.float32(0.5), np.int64(1))
    assert prior == Normal(0.5, 1.0)
    for one in (prior, StudentT(np.int32(4), 0, np.float32(1)), LKJ(2), HalfNormal(1), Exponential(np.float64(0.5))):
        assert {type(value) for value in one.__dict__.values()} == {float}
        assert prior_from_json(one.to_json()) == one
    model = HierarchicalModel("plan", priors={"coef": prior})
    model.fit(shop, method="laplace", draws=50).save(tmp_path / "fit")
    assert load(tmp_path / "fit").model == model
    for bad in (True, "1", None, np.array([1.0]), float("nan")):
        with pytest.raises(PriorError, match="sd="):
            Normal(0, bad)
