"""``churnsurv compare``: what it writes and says, that it goes on where it was, and what it refuses."""

import os
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from churnsurv.analysis import CONTENDERS, Analysis, Comparison, compare, contenders, usual_contenders, usual_cutoffs
from churnsurv.cli import app
from churnsurv.cli.comparison import cutoffs_of
from churnsurv.datasets import simulate_subscription
from churnsurv.errors import ArgumentError, DefinitionError, NoEventsError, WindowError
from churnsurv.models.cox import CoxModel
from churnsurv.models.weibull import WeibullModel
from churnsurv.tables.churn import Silence
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.window import ObservationWindow
from tests.cli.conftest import READING, WINDOW

OPTIONS = [*READING, *WINDOW, "--value", "Revenue", "--group", "Country", "--churn", "silence:60"]
FILES = ["calibration.svg", "forecasts", "forecasts.parquet", "leaderboard.csv", "leaderboard.svg", "scores.csv"]


def compared(orders, out, *words):
    return CliRunner().invoke(app, ["compare", str(orders), *OPTIONS, "--out", str(out), *map(str, words)])


@pytest.fixture(scope="module")
def first(orders, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    found = compared(orders, out, "--models", "rule,classifier,logistic,cox", "--cutoffs", "2")
    assert found.exit_code == 0, found.output
    return out, found


def test_it_writes_tables_charts_and_forecasts(first):
    assert sorted(os.listdir(first[0])) == FILES
    board = pd.read_csv(first[0] / "leaderboard.csv")
    assert set(board["model"]) == {"rule", "classifier", "logistic", "cox", "Kaplan–Meier"}
    assert sorted(board["horizon"].unique()) == [20, 40, 60]
    frame = pd.read_parquet(first[0] / "forecasts.parquet")
    assert frame["cutoff"].nunique() == 2
    assert frame["churn_probability"].between(0, 1).all()
    assert (first[0] / "leaderboard.svg").read_text().startswith("<svg")


def test_it_says_who_was_closest_and_by_how_much(first):
    text = first[1].stdout
    assert "At 2 dates (" in text
    assert "has the lowest Brier score" in text
    assert text.count("than") >= 2
    for name in FILES[:1] + FILES[2:]:
        assert str(first[0] / name) in text
    steps = [line for line in first[1].stderr.splitlines() if line.startswith("[")]
    assert [line.split("] ")[1] for line in steps] == [
        "Reading the log",
        "Comparing models at earlier dates",
        "Scoring what they said",
        "Writing the report",
    ]


def test_one_more_model_costs_only_itself(first, orders, monkeypatch):
    """Forecasts of the others are read: their fits would raise."""

    def fit(self, table, /, *, rng=0, draws=1000, progress=False):
        pytest.fail("was computed before")

    monkeypatch.setattr(CoxModel, "fit", fit)
    found = compared(orders, first[0], "--models", "cox,weibull", "--cutoffs", "2", "--quiet")
    assert found.exit_code == 0, found.output
    assert found.stdout == ""
    assert set(pd.read_csv(first[0] / "leaderboard.csv")["model"]) == {"cox", "weibull", "Kaplan–Meier"}


def test_landmarks_are_compared_with_the_clock(orders, tmp_path):
    found = compared(orders, tmp_path / "out", "--models", "cox,cox:landmark,logistic:landmark", "--cutoffs", "1")
    assert found.exit_code == 0, found.output
    board = pd.read_csv(tmp_path / "out/leaderboard.csv")
    assert board.loc[board["model"].str.endswith(":landmark"), "brier"].notna().all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "wiebull"], ["no model 'wiebull'", "weibull is known"]),
        (["--models", "cox,cox"], ["'cox' is named twice"]),
        (["--models", "rule:landmark"], ["'rule:landmark' means nothing", "a rule learns nothing"]),
        (["--cutoffs", "soon"], ["soon"]),
        (["--cutoffs", "0"], ["--cutoffs '0'"]),
        (["--cutoffs", "2030-01-01"], ["2030-01-01"]),
        (["--cutoffs", "2024-09-01,2024-09-01"], ["named twice: 2024-09-01"]),
        (["--cause", "left"], ["--cause left"]),
        (["--churn", "inactivity:60", "--origin", "first"], ["no risk to be compared"]),
        (["--duration", "days"], ["do not go together"]),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_explained(orders, tmp_path, words, said):
    found = compared(orders, tmp_path / "out", *words)
    assert found.exit_code == 2, found.output
    assert "Traceback" not in found.output
    for text in said:
        assert text in found.stderr


def test_dates_that_one_model_loses_are_told(orders, tmp_path):
    """Cox has a handful of gaps two months after the start, and fails: the date is lost to the others, in words."""
    words = ["--models", "rule,cox", "--cutoffs", "2024-03-03,2024-10-01", "--look-back", "60"]
    found = compared(orders, tmp_path / "out", *words)
    assert found.exit_code == 0, found.output
    assert "At 1 date (2024-10-01)" in found.stdout
    (told,) = (line for line in found.stdout.splitlines() if "2024-03-03 is left out for all models" in line)
    assert "cox" in told.split("because")[1].split("failed")[0]


def test_failures_that_leave_no_date_are_all_told(orders, tmp_path, monkeypatch):
    """Cox fails at one date and Weibull at the other: the error says why, and who could be compared."""

    def failing(model, k):
        fit, calls = model.fit, []

        def maybe(self, table, /, *, rng=0, draws=1000, progress=False):
            calls.append(1)
            if len(calls) == k:
                raise NoEventsError(f"{model.__name__} was told to fail.")
            return fit(self, table, rng=rng, draws=draws, progress=progress)

        monkeypatch.setattr(model, "fit", maybe)

    failing(CoxModel, 1)
    failing(WeibullModel, 2)
    found = compared(orders, tmp_path / "out", "--models", "rule,cox,weibull", "--cutoffs", "2")
    assert found.exit_code == 2, found.output
    for text in ("CoxModel was told to fail", "WeibullModel was told to fail", "--models rule"):
        assert text in found.stderr


def test_durations_have_no_earlier_date(tmp_path):
    path = tmp_path / "durations.csv"
    path.write_text("who,days,gone\na,3,1\nb,5,0\n")
    words = [
        "--duration",
        "days",
        "--unit",
        "day",
        "--event",
        "gone",
        "--customer",
        "who",
        "--out",
        str(tmp_path / "out"),
    ]
    found = CliRunner().invoke(app, ["compare", str(path), *words])
    assert found.exit_code == 2
    assert "no earlier day to go back to" in found.stderr


def shop(days=90, **settings):
    window = settings.pop("window", ObservationWindow("2024-01-01", "2026-01-01"))
    return Analysis(churn=Silence(("order",), days), window=window, **settings)


def test_dates_are_a_horizon_apart_where_the_log_is_long_enough():
    assert usual_cutoffs(shop(), "UTC") == ("2025-01-06", "2025-04-06", "2025-07-05", "2025-10-03")
    assert usual_cutoffs(shop(), "UTC", 1) == ("2025-10-03",)


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Pacific/Apia"])
@pytest.mark.parametrize("end", ["2024-06-01", "2024-12-20", "2025-02-01"])
def test_every_date_is_followed_for_the_longest_horizon(zone, end):
    """Whatever clocks did between the date and the end."""
    window = ObservationWindow("2023-01-01", end)
    (last,) = usual_cutoffs(shop(window=window), zone, 1)
    start, until = ObservationWindow(last, end).resolve(zone)
    assert 90 <= (until - start) / 86_400e6 < 91.1


def test_what_counts_nothing_needs_no_look_back():
    """Contracts known by their sign-up: a horizon and a quarter behind the date, and one ahead."""
    window = ObservationWindow("2024-01-01", "2024-08-01")  # 213 days
    contract = Analysis(churn=Cancellation(("cancelled",), "kind:signup"), window=window)
    assert len(usual_cutoffs(contract, "UTC", 1, look_back=0.0)) == 1
    with pytest.raises(WindowError):
        usual_cutoffs(contract, "UTC", 1)


def test_clocks_that_are_changed_are_no_overlap():
    found = Comparison(SimpleNamespace(horizons=(30.0, 90.0)), None, 90 - 1 / 24, ())
    assert not found.overlapping
    assert Comparison(SimpleNamespace(horizons=(30.0, 90.0)), None, 27.0, ()).overlapping


def test_a_short_log_has_fewer_dates_or_none():
    assert len(usual_cutoffs(shop(window=ObservationWindow("2024-01-01", "2024-10-30")), "UTC")) == 2
    with pytest.raises(WindowError, match="are needed to go back to one date"):
        usual_cutoffs(shop(window=ObservationWindow("2024-01-01", "2024-09-01")), "UTC")
    with pytest.raises(DefinitionError, match="no dates"):
        usual_cutoffs(Analysis(values=("x",)), "UTC")


def test_contenders_are_made_of_the_analysis():
    analysis = shop(values=("Revenue",), groups=("Country",), draws=123)
    recipes = contenders(analysis)
    assert tuple(recipes) == usual_contenders(analysis)
    assert recipes["rule"].model.days == 45
    assert recipes["hierarchical"].settings == {"draws": 123}
    assert [f.name for f in recipes["cox"].features] == ["count_order_90d", "rhythm_order_90d", "revenue", "country"]
    assert [f.name for f in recipes["hierarchical"].features] == ["revenue", "country"]
    assert recipes["cox"].model.penalizer == 0.01
    assert contenders(analysis, ["hierarchical:landmark"])["hierarchical:landmark"].model.frailty is None
    assert recipes["boosting"].model.validation == 0.1
    assert contenders(analysis, ["cox:landmark"])["cox:landmark"].as_of == "landmark"


def test_contracts_with_two_causes():
    """Every kind of model is fitted cause by cause, and scored on leaving at all."""
    business = simulate_subscription(400, rng=4)
    churn = Cancellation(("cancelled", "payment_failed"), "kind:signup")
    analysis = Analysis(churn=churn, window=business.window, groups=("plan",), draws=50)
    found = compare(business.log, analysis, ("classifier", "logistic", "cox", "weibull"), cutoffs=2)
    told = found.board.table.set_index(["model", "horizon"])
    assert not found.result.failures()
    assert told["brier"].notna().all()
    assert told.loc[("cox", 90.0), "concordance"] > 0.5
    assert told.loc[("classifier", 90.0), "brier"] > told.loc[("logistic", 90.0), "brier"]  # it ignores censoring


def test_contracts_have_no_rule():
    contract = Analysis(
        churn=Cancellation(("cancelled",), "kind:signup"), window=ObservationWindow("2023-01-01", "2025-01-01"),
        activity=("login",),
    )  # fmt: skip
    assert "rule" not in usual_contenders(contract)
    assert contenders(contract, ["cox"])["cox"].as_of == "landmark"
    for name, why in (("rule", "nobody is silent"), ("cox:landmark", "at landmarks anyway")):
        with pytest.raises(ArgumentError, match=why):
            contenders(contract, [name])


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_name_makes_a_recipe(name):
    if name in ("xgboost", "lightgbm"):
        pytest.importorskip(name)
    assert list(contenders(shop(), [name])) == [name]


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ArgumentError, match="lightgbm is not installed"):
        contenders(shop(), ["lightgbm"])


def test_cutoffs_are_a_number_or_dates():
    assert cutoffs_of(" 3 ") == 3
    assert cutoffs_of("2024-06-01,2024-07-01") == ("2024-06-01", "2024-07-01")
    with pytest.raises(ArgumentError):
        cutoffs_of("-2")
