"""The simulated shop against closed forms: what it says is true must be what happens."""

import numpy as np
import pyarrow.compute as pc
import pytest

from churnsurv import EventLog, ObservationWindow, Silence, SpellTable
from churnsurv.datasets import Experience, HiddenCause, ReturnEffects, simulate_shop
from churnsurv.errors import ArgumentError, BreaksError, WindowError
from churnsurv.hazards.nonparametric import kaplan_meier

PLAIN = {
    "effects": ReturnEffects.none(),
    "countries": {"A": 0.0, "B": 0.0},
    "season_amplitude": 0.0,
    "closure_hazard": 0.0,
}
CONSTANT = {**PLAIN, "breaks": (0,), "hazards": (0.01,), "frailty_variance": 0.0}


def rate(events, exposure):
    """Events per day, and the standard error of its logarithm."""
    return events.sum() / exposure.sum(), 1 / np.sqrt(events.sum())


def assert_log_ratio(a, b, expected, sigmas=4.0):
    (first, error_a), (second, error_b) = a, b
    assert np.log(first / second) == pytest.approx(expected, abs=sigmas * np.hypot(error_a, error_b))


@pytest.fixture(scope="module")
def full():
    """Everything switched on."""
    effects = ReturnEffects(this_delivery=0.3, this_late=-0.5, this_ticket=-0.3, this_rating=0.2)
    return simulate_shop(
        30_000, rng=7, effects=effects, hidden=HiddenCause(), closure_hazard=0.001, timezone="Europe/Paris"
    )


@pytest.mark.parametrize("theta", [0.0, 0.5, 2.0])
def test_first_gaps_follow_the_marginal_survival(theta):
    shop = simulate_shop(20_000, rng=11, frailty_variance=theta, history_days=0, **PLAIN)
    first = shop.gaps.query("number == 1")
    curve = kaplan_meier(first["observed_duration"], first["observed_event"])
    times = np.array([3.0, 7.0, 20.0, 45.0, 90.0, 200.0, 500.0])
    at = np.searchsorted(curve.times, times, side="right") - 1
    z = (curve.survival[at] - shop.truth.marginal_survival(times)) / curve.standard_error[at]
    assert np.abs(z).max() < 4


def test_marginal_survival_by_hand():
    shop = simulate_shop(2, rng=1, breaks=(0, 10), hazards=(0.1, 0.02), frailty_variance=0.5)
    # H(20) = 10 × 0.1 + 10 × 0.02 = 1.2, and (1 + 0.5 × 1.2)^−2 = 1 / 2.56
    assert shop.truth.cumulative_hazard(np.array([20.0])) == pytest.approx([1.2])
    assert shop.truth.marginal_survival(np.array([20.0])) == pytest.approx([1 / 2.56])


def test_all_gaps_with_frailty_do_not_follow_it():
    shop = simulate_shop(5_000, rng=3, frailty_variance=1.0, **PLAIN)
    curve = kaplan_meier(shop.gaps["observed_duration"], shop.gaps["observed_event"])
    assert curve.survival_at([60.0])[0] < shop.truth.marginal_survival(np.array([60.0]))[0] - 0.1


def test_spent_hazard_is_standard_exponential(full):
    # Cox–Snell residuals with every effect on: the censored residuals must have survival exp(−x).
    gaps = full.gaps
    residual = gaps["frailty"] * gaps["area"] + 0.001 * gaps["duration"]
    curve = kaplan_meier(residual, gaps["event"] > 0)
    x = np.array([0.05, 0.2, 0.5, 1.0, 2.0])
    at = np.searchsorted(curve.times, x, side="right") - 1
    assert np.abs((curve.survival[at] - np.exp(-x)) / curve.standard_error[at]).max() < 4


def test_each_cause_meets_its_own_hazard(full):
    gaps = full.gaps
    closures, expected = (gaps["event"] == 2).sum(), 0.001 * gaps["duration"].sum()
    assert closures == pytest.approx(expected, abs=4 * np.sqrt(expected))
    returns, expected = (gaps["event"] == 1).sum(), (gaps["frailty"] * gaps["area"]).sum()
    assert returns == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_season_moves_the_hazard_by_calendar_month():
    shop = simulate_shop(20_000, rng=5, history_days=0, **{**CONSTANT, "season_amplitude": 0.8, "season_peak": 11})
    gaps = shop.gaps
    opened = gaps["opened"].astype("int64").to_numpy() / 86_400e9
    closed = opened + gaps["observed_duration"].to_numpy()

    def month(first, last):
        low, high = (np.datetime64(day).astype("datetime64[D]").astype(int) for day in (first, last))
        inside = (closed > low) & (closed <= high) & (gaps["observed_event"] == 1)
        return rate(inside, np.clip(np.minimum(closed, high) - np.maximum(opened, low), 0, None))

    peak, trough = month("2024-11-01", "2024-12-01"), month("2024-05-01", "2024-06-01")
    assert_log_ratio(peak, trough, 1.6)
    assert_log_ratio(peak, month("2024-02-01", "2024-03-01"), 0.8)


@pytest.mark.parametrize("frailty", ["known", "posterior"])
def test_true_survival_is_calibrated(full, frailty):
    future, horizons = full.future, np.array([10.0, 30.0, 90.0])
    survival = full.true_survival(horizons, frailty=frailty)
    for k, h in enumerate(horizons):
        stays = (future["event"] == 0) | (future["days"] > h)
        for part in np.array_split(np.argsort(survival[:, k], kind="stable"), 5):
            p = survival[part, k]
            assert stays.to_numpy()[part].sum() == pytest.approx(p.sum(), abs=4 * np.sqrt((p * (1 - p)).sum()))


def test_true_survival_of_one_customer_by_hand():
    shop = simulate_shop(400, rng=2, **{**CONSTANT, "frailty_variance": 0.5}, history_days=0)
    orders = shop.gaps.groupby("customer_id", observed=True).size()
    spent = 0.01 * shop.gaps.groupby("customer_id", observed=True)["observed_duration"].sum()
    shape, rate_ = 2 + orders - 1, 2 + spent
    expected = (rate_ / (rate_ + 0.3)) ** shape
    assert shop.true_survival(30.0) == pytest.approx(expected[shop.open_customers].to_numpy(), rel=1e-9)
    got_shape, got_rate = shop.posterior_frailty()
    assert got_shape == pytest.approx(shape[shop.open_customers].to_numpy())
    assert got_rate == pytest.approx(rate_[shop.open_customers].to_numpy())


def test_closure_can_be_left_out_of_survival(full):
    both, alone = full.true_survival(30.0), full.true_survival(30.0, closure=False)
    assert both == pytest.approx(alone * np.exp(-0.03))


def test_log_is_truncated_and_agrees_with_the_gaps(full):
    window = ObservationWindow("2023-01-01", "2025-01-01")
    start, end = window.resolve("Europe/Paris")
    frame = full.frame()
    times = pc.cast(frame["time"], "int64").to_numpy()
    assert (times >= start).all()
    assert (times < end).all()
    assert (np.diff(times) >= 0).all()
    counts = dict(zip(*np.unique(frame["kind"].to_numpy(), return_counts=True), strict=True))
    assert counts["order"] == full.gaps["in_log"].sum()
    assert (~full.gaps["in_log"]).any()
    whole, future = full.frame("all"), full.frame("future")
    before = (pc.cast(whole["time"], "int64").to_numpy() < start).sum()
    assert whole.num_rows == before + frame.num_rows + future.num_rows


def test_spell_table_finds_the_true_gaps():
    shop = simulate_shop(1_500, rng=4, closure_hazard=0.002)
    churn = Silence(kinds=("order",), days=90, merge=None, terminal=("closed",))
    found = SpellTable.from_events(shop.log, shop.window, churn).frame().sort_values(["customer_id", "spell"])
    true = shop.gaps[shop.gaps["in_log"]]
    assert found["customer_id"].tolist() == true["customer_id"].tolist()
    assert found["event"].to_numpy() == pytest.approx(true["observed_event"].to_numpy())
    assert found["exit"].to_numpy() == pytest.approx(true["observed_duration"].to_numpy(), abs=1e-10)
    assert shop.future["customer_id"].tolist() == found.loc[found["open"], "customer_id"].tolist()


def test_what_arrives_is_in_the_log_unless_the_customer_ordered_again():
    shop = simulate_shop(2_000, rng=6)
    gaps, frame = shop.gaps, shop.frame("all").to_pandas()
    gaps = gaps.assign(closed=gaps["opened"] + np.array(gaps["duration"] * 86_400e6, dtype="timedelta64[us]"))
    for kind, column in (("delivery", "delivered_at"), ("ticket", "answered_at"), ("review", "reviewed_at")):
        arrived = shop.orders[column.removesuffix("_at")] < shop.orders["duration"]
        assert (frame["kind"] == kind).sum() == arrived.sum()
    assert (gaps["answered_at"].isna() == ~gaps["ticket"]).all()
    assert (gaps["delivered_at"] < gaps["answered_at"].fillna(np.inf)).all()


def test_a_gap_opens_the_moment_the_last_one_ends():
    orders = simulate_shop(500, rng=21).orders
    same = np.diff(orders["customer"]) == 0
    ends = orders["opened"] + orders["duration"]
    assert (orders["opened"][1:][same] == ends[:-1][same]).all()
    assert (orders["event"][:-1] == 1).tolist() == same.tolist()


def test_previous_experience_is_that_of_the_previous_order():
    gaps = simulate_shop(3_000, rng=8).gaps
    before = gaps.shift(1)
    later = (gaps["number"] > 1).to_numpy()
    known = later & (before["reviewed_at"] < before["duration"]).to_numpy()
    assert (gaps.loc[~known, "previous_rating"] == "none yet").all()
    assert (gaps.loc[known, "previous_rating"].astype(str).astype(int) == before.loc[known, "rating"]).all()
    arrived = later & (before["delivered_at"] < before["duration"]).to_numpy()
    late = before["late"].to_numpy(dtype=bool, na_value=False)
    assert (gaps.loc[arrived & late, "previous_delivery"] == "late").all()
    assert (gaps.loc[arrived & ~late, "previous_delivery"] == "on time").all()
    assert (gaps.loc[~arrived, "previous_delivery"] == "none yet").all()
    slow = later & (before["answered_at"] < before["duration"]).to_numpy() & (before["wait_hours"] > 24).to_numpy()
    assert (gaps.loc[slow, "previous_wait"] == "over 24 h").all()


def test_effects_known_at_the_opening_are_recovered():
    effects = ReturnEffects(
        category={"x": 0.0, "y": 0.7},
        high_value=0.4,
        previous_late=-0.5,
        previous_wait=(0.0, -0.3, -0.9),
        previous_rating=0.2,
    )
    gaps = simulate_shop(20_000, rng=9, **{**CONSTANT, "effects": effects, "countries": {"A": 0.0, "B": -0.6}}).gaps
    at_risk = np.exp(gaps["log_rate"]) * gaps["observed_duration"]

    def ratio(column, level, other, expected):
        """Events per day at risk, the other effects taken out through the known rate."""
        sides = []
        for name in (level, other):
            rows = gaps[column] == name
            sides.append(rate(gaps.loc[rows, "observed_event"], at_risk[rows]))
        assert_log_ratio(*sides, 0.0)
        shift = gaps.loc[gaps[column] == level, "log_rate"].mean() - gaps.loc[gaps[column] == other, "log_rate"].mean()
        assert shift == pytest.approx(expected, abs=0.15)

    ratio("category", "y", "x", 0.7)
    ratio("country", "B", "A", -0.6)
    ratio(
        "previous_wait", "over 24 h", "under 4 h", -1.3
    )  # the wait's own −0.9, and the ratings and lateness it goes with
    ratio("previous_rating", "5", "1", 1.1)


def _time_split(gaps, moment):
    """Returns and exposure before and after the moment at which a fact arrives."""
    at = np.minimum(gaps[moment].fillna(np.inf), gaps["observed_duration"])
    arrived = gaps[moment] < gaps["observed_duration"]
    returned = gaps["observed_event"] == 1
    return rate(returned & ~arrived, at), rate(returned & arrived, gaps["observed_duration"] - at)


def test_null_shop_immortal_time():
    gaps = simulate_shop(20_000, rng=10, **CONSTANT).gaps
    before, after = _time_split(gaps, "reviewed_at")
    assert_log_ratio(after, before, 0.0)
    reviewed = gaps["reviewed_at"] < gaps["observed_duration"]
    naive = [
        rate(gaps.loc[rows, "observed_event"], gaps.loc[rows, "observed_duration"])[0] for rows in (reviewed, ~reviewed)
    ]
    assert naive[0] / naive[1] < 0.85


NOTHING = {
    "category": {"x": 0.0},
    "high_value": 0.0,
    "previous_late": 0.0,
    "previous_wait": (0, 0, 0),
    "previous_rating": 0.0,
}


@pytest.mark.parametrize(
    ("name", "size", "moment", "who"),
    [
        ("this_delivery", 0.8, "delivered_at", lambda gaps: gaps["late"] | True),
        ("this_late", -0.8, "delivered_at", lambda gaps: gaps["late"]),
        ("this_ticket", 0.9, "answered_at", lambda gaps: gaps["ticket"]),
        ("this_rating", 0.4, "reviewed_at", lambda gaps: gaps["review"] & (gaps["rating"] == 5)),
        ("this_rating", 0.4, "reviewed_at", lambda gaps: gaps["review"] & (gaps["rating"] == 1)),
    ],
)
def test_facts_act_from_their_arrival_on(name, size, moment, who):
    effects = ReturnEffects(**NOTHING, **{name: size})
    gaps = simulate_shop(8_000, rng=12, **{**CONSTANT, "effects": effects}).gaps
    chosen = gaps[who(gaps)]
    points = chosen["rating"].iloc[0] - 3 if name == "this_rating" else 1
    before, after = _time_split(chosen, moment)
    assert_log_ratio(after, before, size * points)
    assert_log_ratio(before, (0.01, 0.0), 0.0)


def test_chain_has_the_stated_probabilities():
    experience = Experience(
        late=0.3, late_country={"B": 1.0}, late_season=0.0, ticket=0.1, ticket_when_late=0.6, review=0.5
    )
    gaps = simulate_shop(20_000, rng=13, experience=experience, countries={"A": 0.0, "B": 0.0}).gaps

    def share(rows, column, expected):
        n = rows.sum()
        assert gaps.loc[rows, column].mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / n))

    share(gaps["country"] == "A", "late", 0.3)
    share(gaps["country"] == "B", "late", 1 / (1 + np.exp(-(np.log(3 / 7) + 1))))
    share(gaps["late"], "ticket", 0.6)
    share(~gaps["late"], "ticket", 0.1)
    share(gaps["late"] | True, "review", 0.5)
    waits = gaps.loc[gaps["ticket"] & ~gaps["late"], "wait_hours"]
    assert np.log(waits).mean() == pytest.approx(np.log(8.0), abs=4 / np.sqrt(len(waits)))
    waits = gaps.loc[gaps["ticket"] & gaps["late"], "wait_hours"]
    assert np.log(waits).mean() == pytest.approx(np.log(8.0) + 0.7, abs=4 / np.sqrt(len(waits)))
    quiet = gaps[~gaps["ticket"] & ~gaps["late"]].assign(top=lambda g: g["rating"] == 5)
    assert quiet["top"].mean() == pytest.approx(1 / (1 + np.exp(0.4)), abs=4 * np.sqrt(0.24 / len(quiet)))
    slow = gaps[gaps["ticket"] & gaps["late"] & (gaps["wait_hours"] > 24)].assign(low=lambda g: g["rating"] == 1)
    assert slow["low"].mean() == pytest.approx(1 / (1 + np.exp(2.6 - 2.8)), abs=4 * np.sqrt(0.25 / len(slow)))


def test_season_and_country_make_parcels_late():
    gaps = simulate_shop(20_000, rng=14, experience=Experience(late_season=1.0)).gaps
    month = gaps["opened"].dt.month
    assert gaps.loc[month == 11, "late"].mean() > gaps.loc[month == 5, "late"].mean() + 0.2


def test_hidden_cause_confounds_and_an_intervention_does_not():
    # No effect of lateness at all, so that the naive contrast is confounding and nothing else.
    # Hazard zero for 60 days, by when everything is known: no gap ends before its experience does.
    shop = {**CONSTANT, "breaks": (0, 60), "hazards": (0.0, 0.02), "history_days": 0}
    hidden = HiddenCause(share=0.5, late=2.0, wait=0.0, effect=-1.0)
    gaps = simulate_shop(20_000, rng=15, hidden=hidden, **shop).gaps.query("number > 1")
    exposure = np.maximum(gaps["observed_duration"] - 60, 0)
    naive = [
        rate(gaps.loc[rows, "observed_event"], exposure[rows])
        for rows in (gaps["previous_delivery"] == "late", gaps["previous_delivery"] == "on time")
    ]
    assert np.log(naive[0][0] / naive[1][0]) < -0.15
    done = []
    for late in (1, 0):
        gaps = simulate_shop(20_000, rng=16 + late, hidden=hidden, do={"late": late}, **shop).gaps.query("number == 2")
        assert (gaps["late"] == bool(late)).all()
        done.append(rate(gaps["observed_event"], np.maximum(gaps["observed_duration"] - 60, 0)))
    assert_log_ratio(*done, 0.0)


def test_do_sets_nodes_and_leaves_causes_alone():
    gaps = simulate_shop(3_000, rng=18, do={"wait_hours": 2, "rating": 4}).gaps
    assert (gaps["wait_hours"] == 2).all()
    assert (gaps["rating"] == 4).all()
    assert 0.1 < gaps["late"].mean() < 0.4


def test_same_seed_same_shop():
    first, second, other = (simulate_shop(500, rng=seed).frame("all") for seed in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)
    generator = simulate_shop(500, rng=np.random.default_rng(1)).frame("all")
    assert generator.equals(first)


def test_log_columns():
    shop = simulate_shop(300, rng=1)
    log = shop.log
    assert isinstance(log, EventLog)
    assert log.values == ("revenue", "delay_days", "wait_hours", "rating")
    assert log.labels == ("country", "category", "previous_delivery", "previous_wait", "previous_rating")
    assert log.faults == ()
    frame = shop.frame().to_pandas()
    orders = frame[frame["kind"] == "order"]
    assert orders[["revenue", "country", "category", "previous_rating"]].notna().all(axis=None)
    assert frame.loc[frame["kind"] != "order", "revenue"].isna().all()
    assert frame.loc[frame["kind"] == "review", "rating"].between(1, 5).all()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_customers": 0}, ArgumentError, "n_customers"),
        ({"n_customers": 2.5}, ArgumentError, "n_customers"),
        ({"rng": -1}, ArgumentError, "rng"),
        ({"rng": None}, ArgumentError, "rng"),
        ({"start": "2025-01-01", "end": "2024-01-01"}, WindowError, "ends"),
        ({"start": "2025-01-01T10:00"}, ArgumentError, "not a date"),
        ({"breaks": (0, 5, 5)}, BreaksError, "increase"),
        ({"breaks": (1, 5), "hazards": (0.1, 0.1)}, BreaksError, "from 0"),
        ({"hazards": (0.1,)}, ArgumentError, "one hazard for each break"),
        ({"breaks": (0,), "hazards": (-0.1,)}, ArgumentError, "at least 0"),
        ({"frailty_variance": float("nan")}, ArgumentError, "frailty_variance"),
        ({"countries": {}}, ArgumentError, "countries"),
        ({"season_peak": 13}, ArgumentError, "at most 12"),
        ({"closure_hazard": -1}, ArgumentError, "closures a day"),
        ({"history_days": -1}, ArgumentError, "days"),
        ({"do": {"weather": 1}}, ArgumentError, "one can set"),
        ({"do": {"rating": 6}}, ArgumentError, "at most 5"),
        ({"do": {"rating": 2.5}}, ArgumentError, "whole number"),
        ({"experience": Experience(late_country={"Mars": 1.0})}, ArgumentError, "Mars"),
    ],
)
def test_refuses_what_has_no_meaning(arguments, error, match):
    with pytest.raises(error, match=match):
        simulate_shop(**{"n_customers": 10, "rng": 1, **arguments})


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Experience(late=0), "late"),
        (lambda: Experience(review=1.2), "review"),
        (lambda: Experience(rating_cuts=(1, 0, 2, 3)), "increasing"),
        (lambda: ReturnEffects(previous_wait=(0, 0)), "three numbers"),
        (lambda: ReturnEffects(category={"a": float("inf")}), "category"),
        (lambda: HiddenCause(share=2), "share"),
    ],
)
def test_settings_are_checked(build, match):
    with pytest.raises(ArgumentError, match=match):
        build()


def test_horizons_beyond_the_simulated_future_are_refused(full):
    with pytest.raises(ArgumentError, match="future_days"):
        full.true_survival(91.0)
    with pytest.raises(ArgumentError, match="posterior"):
        full.true_survival(30.0, frailty="mean")
    with pytest.raises(ArgumentError, match="window"):
        full.frame("past")
