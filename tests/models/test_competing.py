"""Competing fits against closed forms: what happens first, and which cause it is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from churnsurv.errors import ArgumentError, CellMismatchError, DataWarning, DefinitionError, SavedFitError
from churnsurv.hazards.incidence import incidence_of_causes
from churnsurv.models.base import FitInfo
from churnsurv.models.competing import CompetingFits
from churnsurv.models.competing_info import further_uniform, paired_draws
from churnsurv.models.competing_rows import CauseRows
from churnsurv.models.competing_saved import build, describe
from churnsurv.models.formula import bind_formula
from churnsurv.models.hierarchical.binding import Rows, structure_of
from churnsurv.models.hierarchical.counts import Counts
from churnsurv.models.hierarchical.fit import HierarchicalFit
from churnsurv.models.hierarchical.model import HierarchicalModel
from churnsurv.models.hierarchical.problem import Terms
from churnsurv.models.hierarchical.sampling import posterior_tree
from churnsurv.models.saved import load
from churnsurv.tables.contracts import Cancellation
from churnsurv.tables.features import Count, Value
from churnsurv.tables.open_spells import OpenSpells
from churnsurv.tables.schema import UNSEEN, CellSchema, PatternColumn
from tests.risk.exact_fit import ExactFit

CHURN = Cancellation(("cancelled", "payment_failed"), origin="kind:signup")
BREAKS = (0.0, 30.0, 90.0, 365.0)
SCHEMA = CellSchema(CHURN, BREAKS, ())
OK = FitInfo(status="ok", independent_gaps=False)


def exact(hazard, *, schema=SCHEMA, factor=1.0, info=OK) -> ExactFit:
    """Hazards by draw and period, times a factor per level of the first column."""
    hazard = np.atleast_2d(hazard).astype(float)
    return ExactFit(schema, hazard, np.broadcast_to(factor, (len(hazard), np.size(factor))).astype(float), info)


@dataclass(frozen=True, eq=False)
class WeibullCurve:
    """H(t) = (t / scale) ** shape in one draw, or several scales; a fit whose hazard changes all the time."""

    schema: CellSchema
    shape: float
    scale: np.ndarray
    info: FitInfo = OK

    model = SimpleNamespace(fits_on="episodes")

    @property
    def n_draws(self):
        return len(self.scale)

    def conditional_survival(self, rows, until, *, draws=None):
        scale = self.scale[np.arange(self.n_draws) if draws is None else draws][:, None, None]
        start, stop = rows.reached[:, None], np.maximum(until, rows.reached[:, None])
        return np.exp((start / scale) ** self.shape - (stop / scale) ** self.shape)

    def new_group(self, rows):
        return np.zeros(len(rows.codes), bool)


@dataclass(frozen=True, eq=False)
class Steps(WeibullCurve):
    """Jumps of a cumulative hazard at given times: what a Cox baseline looks like."""

    times: np.ndarray = None
    jumps: np.ndarray = None

    def conditional_survival(self, rows, until, *, draws=None):
        total = np.append(0.0, np.cumsum(self.jumps))

        def at(t):
            return total[np.searchsorted(self.times, t, side="right")]

        stop = np.maximum(until, rows.reached[:, None])
        return np.exp(at(rows.reached[:, None]) - at(stop))[None]


def rows(reached, schema=SCHEMA, codes=None, **more):
    reached = np.asarray(reached, float)
    n = len(reached)
    codes = np.zeros((n, len(schema.columns)), np.int64) if codes is None else np.asarray(codes, np.int64)
    levels = tuple(
        np.asarray([*column.labels, "?"], dtype=object)[codes[:, k]] for k, column in enumerate(schema.columns)
    )
    settings = {"values": tuple(None for _ in schema.columns), "levels": levels, **more}
    return OpenSpells(
        schema, np.array([f"c{k}" for k in range(n)], dtype=object), reached, codes,
        outside=np.zeros(n, bool), unknown=np.zeros(n, bool), **settings,
    )  # fmt: skip


def both(first, second) -> CompetingFits:
    return CompetingFits({"cancelled": first, "payment_failed": second})


def test_two_constant_hazards():
    """Incidence = share of the hazard times 1 - exp(-total): 0.25 and 0.75 of 1 - exp(-0.04 h)."""
    fits = both(exact([0.01] * 3), exact([0.03] * 3))
    customers = rows([0.0, 20.0, 100.0])
    ahead = np.array([10.0, 50.0, 200.0])
    found = fits.cumulative_incidence(customers, customers.reached[:, None] + ahead)[0]
    gone = -np.expm1(-0.04 * ahead)
    for k in range(3):
        assert found[k, :, 0] == pytest.approx(0.25 * gone, abs=1e-14)
        assert found[k, :, 1] == pytest.approx(0.75 * gone, abs=1e-14)


def by_pieces(hazards, reached, until):
    """Closed form of piecewise-constant hazards: h_c / h (S(a) - S(b)) added up over the pieces."""
    incidence, survival = np.zeros(len(hazards)), 1.0
    for low, high, *h in zip(BREAKS[:-1], BREAKS[1:], *hazards, strict=True):
        length = max(min(until, high) - max(reached, low), 0.0)
        left = survival * np.exp(-sum(h) * length)
        if sum(h):
            incidence += np.array(h) / sum(h) * (survival - left)
        survival = left
    return incidence


hazard = st.lists(st.floats(0, 0.05), min_size=3, max_size=3)


@given(a=hazard, b=hazard, reached=st.floats(0, 365), share=st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_piecewise_constant_hazards_are_exact(a, b, reached, share):
    fits = both(exact(a), exact(b))
    until = reached + (365 - reached) * np.array(share)
    found = fits.cumulative_incidence(rows([reached]), until[None])[0, 0]
    expected = np.array([by_pieces([a, b], reached, u) for u in until])
    assert found == pytest.approx(expected, abs=1e-12)


@given(a=hazard, b=hazard, c=hazard, reached=st.floats(0, 300))
def test_incidences_and_survival_are_everybody(a, b, c, reached):
    churn = replace(CHURN, kinds=("cancelled", "payment_failed", "fraud"))
    schema = replace(SCHEMA, churn=churn)
    fits = CompetingFits(dict(zip(churn.kinds, (exact(h, schema=schema) for h in (a, b, c)), strict=True)))
    until = np.array([[310.0, 340.0, 365.0]])
    customers = rows([reached], schema)
    incidence = fits.cumulative_incidence(customers, until)
    total = incidence.sum(axis=-1) + fits.conditional_survival(customers, until)
    assert total == pytest.approx(1.0, abs=4e-15)
    assert (incidence >= 0).all()
    assert (np.diff(incidence, axis=2) >= -1e-16).all()


def test_smooth_hazards_against_quadrature():
    """Weibull with shapes 0.6 and 2.5, whose ratio changes all the time: within 4e-4 of the integral."""
    fits = both(WeibullCurve(SCHEMA, 0.6, np.array([400.0])), WeibullCurve(SCHEMA, 2.5, np.array([250.0])))
    worst = 0.0
    for reached in (0.0, 40.0, 200.0):
        for ahead in (30.0, 90.0, 365.0):
            found = fits.cumulative_incidence(rows([reached]), np.array([[reached + ahead]]))[0, 0, 0]
            start = (reached / 400) ** 0.6 + (reached / 250) ** 2.5

            def flow(u, shape, scale, start=start):
                return shape / scale * (u / scale) ** (shape - 1) * np.exp(start - (u / 400) ** 0.6 - (u / 250) ** 2.5)

            truth = [
                integrate.quad(flow, reached, reached + ahead, args=pair, limit=200)[0]
                for pair in ((0.6, 400), (2.5, 250))
            ]
            worst = max(worst, np.abs(found - truth).max())
    assert worst < 4e-4
    assert worst > 1e-6  # not exact, and not said to be


def test_step_hazards_against_every_jump():
    """Cox-like steps of two causes at 400 times: parts of two weeks against all jumps, whose sum is Aalen's."""
    rng = np.random.default_rng(5)
    times = np.sort(rng.uniform(0, 365, 400))
    cause = rng.random(400) < times / 365  # the second cause takes over with time
    jumps = [np.where(cause == k, 0.004, 0.0) for k in (False, True)]
    fits = both(*(Steps(SCHEMA, 1.0, np.ones(1), OK, times, jump) for jump in jumps))
    found = fits.cumulative_incidence(rows([10.0]), np.array([[40.0, 100.0, 365.0]]))[0, 0]
    inside = times > 10.0
    survival = np.exp(-np.cumsum(np.full(inside.sum(), 0.004)))
    leaving = np.append(1.0, survival[:-1]) - survival
    for k, u in enumerate((40.0, 100.0, 365.0)):
        here = times[inside] <= u
        truth = [leaving[here & (cause[inside] == which)].sum() for which in (False, True)]
        assert found[k] == pytest.approx(truth, abs=1e-3)
        assert found[k].sum() == pytest.approx(sum(truth), abs=1e-14)


def test_the_rise_of_nobody_is_nothing():
    survival = np.array([[1.0, 1.0, 0.5, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    found = incidence_of_causes(survival)
    assert found[0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert found[1].tolist() == [0.0] * 5


def test_one_cause_unknown_is_all_unknown_from_there_on():
    """The second fit ends at 90 days: nobody knows which comes first after that."""
    short = replace(SCHEMA, breaks=(0.0, 30.0, 90.0))
    fits = both(exact([0.01] * 3), exact([0.03] * 2, schema=short))
    until = np.array([[60.0, 90.0, 91.0]])
    found = fits.cumulative_incidence(rows([0.0]), until)[0, 0]
    assert np.isnan(found).tolist() == [[False, False], [False, False], [True, True]]
    assert np.isnan(fits.conditional_survival(rows([0.0]), until)[0, 0]).tolist() == [False, False, True]
    assert fits.schema.breaks == (0.0, 30.0, 90.0)
    assert fits.n_at_risk(np.array([60.0, 100.0])).tolist() == [1000, 0]


def test_nothing_happens_at_the_time_reached():
    fits = both(exact([0.01] * 3), exact([0.03] * 3))
    assert (fits.cumulative_incidence(rows([50.0]), np.array([[50.0, 20.0]])) == 0).all()


def test_a_row_has_the_same_bytes_in_any_company():
    rng = np.random.default_rng(1)
    fits = both(exact(rng.gamma(2, 0.005, (40, 3))), WeibullCurve(SCHEMA, 1.3, rng.uniform(200, 400, 40)))
    customers = rows(rng.uniform(0, 300, 60))
    until = customers.reached[:, None] + np.array([5.0, 30.0, 64.0])
    whole = fits.cumulative_incidence(customers, until)
    for index in (np.array([7]), np.arange(20, 53)):
        part = fits.cumulative_incidence(customers.take(index), until[index])
        assert part.tobytes() == np.ascontiguousarray(whole[:, index]).tobytes()


def test_blocks_of_rows_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    fits = both(exact(rng.gamma(2, 0.005, (10, 3))), exact(rng.gamma(2, 0.005, (10, 3))))
    customers = rows(rng.uniform(0, 300, 50))
    until = customers.reached[:, None] + np.array([5.0, 30.0])
    whole = fits.cumulative_incidence(customers, until)
    monkeypatch.setattr("churnsurv.models.competing._FLOATS", 1_000)
    assert fits.cumulative_incidence(customers, until).tobytes() == whole.tobytes()


def test_draws_of_one_seed_are_not_taken_for_related():
    """Both fits hold the very same draws; paired as they lie, the spread of the total would double its variance."""
    spread = np.random.default_rng(3).gamma(25, 0.0004, (1000, 1)) * np.ones(3)
    first, second = exact(spread), exact(spread, info=replace(OK, fingerprint="b"))
    fits = both(first, second)
    total = -np.log(fits.conditional_survival(rows([0.0]), np.array([[100.0]]))[:, 0, 0])
    alone = -np.log(first.conditional_survival(rows([0.0]), np.array([[100.0]]))[:, 0, 0])
    assert total.var() == pytest.approx(2 * alone.var(), rel=0.15)
    assert total.mean() == pytest.approx(2 * alone.mean(), rel=1e-12)  # every draw is used, once


@pytest.mark.parametrize(("n", "own"), [(5, 5), (1000, 1000), (997, 4000), (2, 2), (1, 7)])
@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_pairs_use_different_draws(k, n, own):
    picked = paired_draws(k, np.arange(n), n, own)
    assert len(set(picked.tolist())) == n
    assert picked.min() >= 0
    assert picked.max() < own


def test_a_point_fit_goes_with_every_draw():
    rng = np.random.default_rng(4)
    fits = both(exact(rng.gamma(2, 0.005, (30, 3))), exact([0.02] * 3))
    assert fits.n_draws == 30
    assert fits.cumulative_incidence(rows([0.0]), np.array([[50.0]])).shape == (30, 1, 1, 2)
    some = fits.cumulative_incidence(rows([0.0]), np.array([[50.0]]), draws=np.array([3, 17]))
    assert (some == fits.cumulative_incidence(rows([0.0]), np.array([[50.0]]))[[3, 17]]).all()
    with pytest.raises(ArgumentError, match="between 0 and 29"):
        fits.conditional_survival(rows([0.0]), np.array([[50.0]]), draws=np.array([30]))


def test_uniform_numbers_of_several_causes_know_nothing_of_each_other():
    first = np.random.default_rng(6).random(20_000)
    numbers = np.stack([further_uniform(first, k) for k in range(4)])
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert np.abs(np.corrcoef(numbers) - np.eye(4)).max() < 0.03
    assert numbers.mean(axis=1) == pytest.approx(0.5, abs=0.01)
    assert numbers.var(axis=1) == pytest.approx(1 / 12, rel=0.03)


PLAN = PatternColumn("plan", ("basic", "pro"))
PRICE = PatternColumn("price", ("0–10", "10–50"), (0.0, 10.0, 50.0))


def planned(columns, features):
    return replace(SCHEMA, columns=columns, features=features)


PLANS = Value("signup", "plan", name="plan")
PRICES = Value("signup", "price", name="price")


def test_each_fit_gets_the_columns_it_learnt_from():
    """The first knows the plan, the second the price in bins of its own."""
    finer = replace(PRICE, labels=("5–20", "20–40"), edges=(5.0, 20.0, 40.0))
    first = exact([0.01] * 3, schema=planned((PLAN, PRICE), (PLANS, PRICES)), factor=[1.0, 3.0])
    second = exact([0.01] * 3, schema=planned((finer,), (PRICES,)), factor=[1.0, 5.0])
    fits = both(first, second)
    assert [c.name for c in fits.schema.columns] == ["plan", "price"]
    assert fits.schema.column("price").edges == (5.0, 10.0, 20.0, 40.0)
    assert len(fits.schema.column("price").labels) == 3
    price = np.array([8.0, 15.0, 30.0])
    codes = np.column_stack([[0, 1, 1], fits.schema.column("price").code_values(price)])
    customers = rows([0.0] * 3, fits.schema, codes, values=(None, price))
    found = fits.conditional_survival(customers, np.full((3, 1), 20.0))[0, :, 0]
    assert -np.log(found) / 0.2 == pytest.approx([1 + 1, 3 + 1, 3 + 5])
    bare = CauseRows.of(_Bare(fits.schema, codes, customers.reached), second.schema)
    assert bare.codes[:, 0].tolist() == [0, 0, 1]


@dataclass(frozen=True)
class _Bare:
    """Rows that are codes and nothing else."""

    schema: CellSchema
    codes: np.ndarray
    reached: np.ndarray


def test_levels_of_both_fits_are_known():
    other = replace(PLAN, labels=("pro", "team"))
    fits = both(
        exact([0.01] * 3, schema=planned((PLAN,), (PLANS,)), factor=[1.0, 2.0]),
        exact([0.01] * 3, schema=planned((other,), (PLANS,)), factor=[1.0, 2.0]),
    )
    assert fits.schema.columns[0].labels == ("basic", "pro", "team")
    customers = rows([0.0] * 3, fits.schema, [[0], [1], [2]])
    assert fits.unseen(customers).tolist() == [True, False, True]
    assert CauseRows.of(customers, fits.fits["cancelled"].schema).codes[:, 0].tolist() == [0, 1, UNSEEN]


def test_what_does_not_belong_together():
    good = exact([0.01] * 3)
    with pytest.raises(ArgumentError, match="causes cancelled, payment_failed; there are fits of cancelled"):
        CompetingFits({"cancelled": good})
    with pytest.raises(ArgumentError, match="names no cause"):
        CompetingFits({})
    with pytest.raises(ArgumentError, match="the very same events"):
        both(good, good)
    elsewhere = exact([0.02] * 3, schema=replace(SCHEMA, timezone="Europe/Berlin"))
    with pytest.raises(DefinitionError, match="settings of timezone"):
        both(good, elsewhere)
    landmarks = replace(planned((PLAN,), (PLANS,)), as_of="landmark", reach=90.0)
    with pytest.raises(CellMismatchError, match="different moments"):
        both(exact([0.01] * 3, schema=planned((PLAN,), (PLANS,))), exact([0.02] * 3, schema=landmarks))
    counts = planned((replace(PRICE, name="n"),), (Count("order", days=30, name="n"),))
    others = planned((replace(PRICE, name="n"),), (Count("order", days=60, name="n"),))
    with pytest.raises(CellMismatchError, match="for one cause and"):
        both(exact([0.01] * 3, schema=counts), exact([0.02] * 3, schema=others))
    away = planned((replace(PRICE, edges=(60.0, 70.0, 80.0)),), (PRICES,))
    with pytest.raises(CellMismatchError, match="ranges that do not meet"):
        both(exact([0.01] * 3, schema=planned((PRICE,), (PRICES,))), exact([0.02] * 3, schema=away))
    with pytest.raises(CellMismatchError, match="no column 'plan'"):
        CauseRows.of(rows([0.0]), planned((PLAN,), (PLANS,)))


def test_landmarks_reach_as_far_as_the_shorter():
    far, near = (replace(SCHEMA, as_of="landmark", reach=days) for days in (90.0, 60.0))
    assert both(exact([0.01] * 3, schema=far), exact([0.02] * 3, schema=near)).schema.reach == 60.0


def test_gates_are_joined():
    bad = FitInfo(
        status="unreliable", rhat_max=1.2, messages=("R-hat is 1.2.",), n_events=20, n_spells=90, exposure=5e3
    )
    good = FitInfo(status="ok", ess_min=900.0, n_events=10, n_spells=90, exposure=5e3, independent_gaps=False)
    info = both(exact([0.01] * 3, info=good), exact([0.02] * 3, info=bad)).info
    assert not info.reliable
    assert info.messages == ("payment_failed: R-hat is 1.2.",)
    assert (info.rhat_max, info.ess_min, info.n_events, info.n_spells, info.exposure) == (1.2, 900.0, 30, 90, 5e3)
    assert info.independent_gaps
    assert "unreliable" in repr(both(exact([0.01] * 3, info=good), exact([0.02] * 3, info=bad)))


COUNTRY = PatternColumn("country", ("A", "B"))
COUNTRIES = Value("signup", "country", name="country")


def drawn_fit(plan: float, seed: int, *, sd: float = 0.8) -> HierarchicalFit:
    """A hierarchical fit whose 200 draws are made here instead of sampled: what it answers is the real thing."""
    rng = np.random.default_rng(seed)
    schema = planned((PLAN, COUNTRY), (PLANS, COUNTRIES))
    codes = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    model = HierarchicalModel("plan", groups=("country",))
    intercept, walk = -5.0 + 0.1 * rng.normal(size=(2, 100)), 0.3 * rng.normal(size=(2, 100, 3))
    variables = {
        "intercept": ((), intercept),
        "walk": (("period",), walk),
        "walk_sd": ((), np.full((2, 100), 0.3)),
        "log_baseline": (("period",), intercept[..., None] + walk),
        "coef": (("term",), np.log(plan) + 0.05 * rng.normal(size=(2, 100, 1))),
        "country_effect": (("country",), 0.2 * rng.normal(size=(2, 100, 2))),
        "country_effect_sd": ((), np.full((2, 100), sd)),
    }
    coords = {"period": np.arange(3), "term": np.array(["plan[pro]"]), "country": np.array(["A", "B"])}
    ones = {"country": np.full(2, 100.0)}
    rows = Rows(schema, codes, (), np.zeros(4, np.int64), np.array([4.0, 1.0, 4.0, 1.0]))
    return HierarchicalFit(
        model=model,
        schema=schema,
        posterior=posterior_tree(variables, coords, {}),
        info=FitInfo(status="ok", n_draws=200, n_events=200, n_spells=900, exposure=1e5, fingerprint=str(seed)),
        structure=structure_of(model, rows, Terms.plain(bind_formula("plan", schema, codes, rows.exposure))),
        priors={},
        counts=Counts(np.array([500, 200, 90]), np.array([50.0]), np.array([5e4]), ones, ones, ones),
    )


@pytest.fixture(scope="module")
def fitted() -> CompetingFits:
    return both(drawn_fit(0.5, 1), drawn_fit(2.5, 2))


def test_real_fits_are_exact_between_breaks(fitted):
    """One part per period against 400 parts: the shares of constant hazards do not depend on the parts."""
    customers = rows([5.0, 50.0], fitted.schema, [[0, 0], [1, 1]])
    until = customers.reached[:, None] + np.array([30.0, 200.0])
    found = fitted.cumulative_incidence(customers, until)
    grid = customers.reached[:, None] + np.arange(401) * 0.5
    positions = {cause: paired_draws(k, np.arange(200), 200, 200) for k, cause in enumerate(fitted.causes)}
    alone = np.stack([fit.conditional_survival(customers, grid, draws=positions[c]) for c, fit in fitted.fits.items()])
    fine = np.moveaxis(incidence_of_causes(alone), 0, -1)[:, :, [60, 400]]
    assert found == pytest.approx(fine, abs=1e-12)


def test_effects_of_every_cause(fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = fitted.summary()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.names[0] == "cause"
    plan = frame[frame["column"] == "plan"]["hazard_ratio"]
    assert plan.loc["cancelled"].item() == pytest.approx(0.5, rel=0.05)
    assert plan.loc["payment_failed"].item() == pytest.approx(2.5, rel=0.05)
    assert set(fitted.model) == set(CHURN.causes)
    assert set(fitted.posterior.children) == set(CHURN.causes)


def test_from_time_zero(fitted):
    found = fitted.predict_cumulative_incidence(rows([77.0, 5.0], fitted.schema, [[0, 0], [1, 1]]), [30.0, 365.0])
    assert found.dims == ("chain", "draw", "customer", "time", "cause")
    fresh = fitted.cumulative_incidence(
        rows([0.0, 0.0], fitted.schema, [[0, 0], [1, 1]]), np.array([[30.0, 365.0]] * 2)
    )
    assert (found.to_numpy()[0] == fresh).all()


def test_saved_and_read_again(fitted, tmp_path):
    fitted.save(tmp_path / "fit")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        again = load(tmp_path / "fit")
    assert isinstance(again, CompetingFits)
    assert again.causes == fitted.causes
    customers = rows([5.0, 50.0], fitted.schema, [[0, 0], [1, 1]])
    until = customers.reached[:, None] + np.array([30.0, 200.0])
    assert (again.cumulative_incidence(customers, until) == fitted.cumulative_incidence(customers, until)).all()
    assert again.info.to_json() == fitted.info.to_json()


def test_a_group_nobody_has_seen(fitted):
    """Both effects are integrated out; at quantiles they share, customers keep these chances on average."""
    customers = rows(
        [40.0], fitted.schema, [[0, UNSEEN]], levels=(np.array(["basic"], object), np.array(["Z"], object))
    )
    assert fitted.new_group(customers).tolist() == [True]
    assert fitted.new_group_name(customers).tolist() == ["Z\n"]
    until, draws = np.array([[70.0, 240.0]]), np.arange(0, 200, 4)
    mean = fitted.cumulative_incidence(customers, until, draws=draws).mean(axis=0)[0]
    rng = np.random.default_rng(8)
    many = [
        fitted.joint_incidence(customers, until, rng.random((50, 1)), draws=draws).mean(axis=0)[0] for _ in range(60)
    ]
    error = np.std(many, axis=0) / np.sqrt(len(many))
    assert (np.abs(np.mean(many, axis=0) - mean) < 4 * error + 2e-4).all()
    assert (error < 0.01).all()
    joint = fitted.joint_survival(customers, until, np.full((50, 1), 0.5), draws=draws)
    both_causes = fitted.joint_incidence(customers, until, np.full((50, 1), 0.5), draws=draws).sum(axis=-1)
    assert joint + both_causes == pytest.approx(1.0, abs=1e-12)


def test_a_known_group_at_a_quantile_is_itself(fitted):
    customers = rows([40.0], fitted.schema, [[1, 0]])
    until = np.array([[70.0, 240.0]])
    at = fitted.joint_incidence(customers, until, np.full((200, 1), 0.9))
    assert (at == fitted.cumulative_incidence(customers, until)).all()


def test_a_file_with_parts_of_something_else(fitted, tmp_path):
    """Causes swapped in the file: the fits still load, and are not what the file says."""
    body, arrays = describe(fitted)
    first, second = body["causes"]
    swapped = {"causes": [{**first, "cause": second["cause"]}, {**second, "cause": first["cause"]}]}
    with pytest.raises(SavedFitError, match="not those that the file says"):
        build(swapped, arrays, fitted.schema, fitted.info)
    nested = {"causes": [{**first, "kind": "competing"}]}
    with pytest.raises(SavedFitError, match="itself made of several"):
        build(nested, arrays, fitted.schema, fitted.info)
