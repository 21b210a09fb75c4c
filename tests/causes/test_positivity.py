"""Spells behind an intervention, counted; and attempts to break an effect."""

from __future__ import annotations

import numpy as np
import pytest

from churnsurv.causes.effects import Effect
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.causes.positivity import count_positivity
from churnsurv.causes.refutations import KINDS, refute_effect
from churnsurv.datasets import load_pysurvival_churn
from churnsurv.errors import ArgumentError, IdentificationError
from churnsurv.tables.features import Baseline
from tests.causes.known_shop import BREAKS, EDGES, SHORT, network


def test_spells_are_counted_by_what_is_adjusted_for(fit):
    (found,) = count_positivity(fit.rows, {"wait": "under 4 h"}, ("late",), "wait = under 4 h")
    frame = fit.rows.frame()
    frame = frame[frame["opens"]]
    for state, n, n_set in zip(fit.states["late"], found.n_spells, found.n_set, strict=True):
        here = frame[frame["late"] == state]
        assert n == len(here)
        assert n_set == (here["wait"] == "under 4 h").sum()
    first = fit.states["late"].index("first")
    assert found.violated[first]
    assert found.thin[first]
    assert found.share_thin == found.n_spells[first] / found.n_spells.sum()
    assert "late = first: 0 of" in found.sentence()


def test_a_replacement_asks_only_for_those_who_would_be_touched(fit):
    (found,) = count_positivity(fit.rows, {"wait": SHORT}, ("late",), "wait")
    assert not found.thin.any()
    assert "every configuration has spells of its own" in found.sentence()


def test_a_violation_is_in_the_sentence_of_the_effect(fit):
    effect = fit.effect("wait", "under 4 h", "over 24 h")
    assert isinstance(effect, Effect)
    assert "have fewer than 10 spells in these states (late = first: 0 of" in effect.sentence()
    frame = effect.positivity[0].frame()
    assert list(frame.columns) == ["configuration", "n_spells", "n_set", "thin"]


def test_measures_belong_together(fit):
    effect = fit.effect("wait", SHORT, by="country")
    assert effect.segments == ("all", "far", "near")
    a, b = effect.draws("risk_difference"), effect.draws("avoided_per_thousand")
    np.testing.assert_allclose(b, -1000 * a)
    np.testing.assert_allclose(effect.draws("risk_ratio") * effect.churn_versus, effect.churn_to)
    assert (effect.draws("rmst_difference").mean(axis=0) < 0).all(), "the return comes sooner"
    share = fit.query("country").mean()
    assert abs(effect.draws()[:, 1:].mean(axis=0) @ share - effect.draws()[:, 0].mean()) < 0.002
    frame = effect.frame()
    assert frame["segment"].tolist() == [s for s in effect.segments for _ in range(4)]
    assert set(frame["label"]) == {"identified"}


@pytest.fixture(scope="module")
def effect(fit):
    return fit.effect("wait", SHORT)


def test_an_honest_effect_survives(fit, effect):
    seen = []
    found = refute_effect(fit, effect, n_repeats=4, progress=lambda share, text: seen.append((share, text)))
    assert found.passed
    frame = found.frame().set_index("kind")
    assert abs(frame.loc["placebo cause", "found"]) < 15
    assert abs(frame.loc["random common cause", "found"] - frame.loc["random common cause", "expected"]) < 5
    assert len(seen) == 12
    assert seen[0] == (0.0, "placebo cause")
    assert repr(found).count("\n") == 2


def test_an_effect_that_the_data_do_not_carry_fails(fit, effect):
    """The attempts can fail: a claim three times as large as the data say is refused by halves and by coins."""
    from dataclasses import replace

    inflated = replace(effect, churn_to=effect.churn_versus - 3 * (effect.churn_versus - effect.churn_to))
    found = refute_effect(fit, inflated, kinds=KINDS[1:], n_repeats=2)
    assert not found.passed
    assert "did NOT: do not trust the effect" in found.attempts[0].sentence()


def test_the_same_seed_breaks_it_the_same_way(fit, effect):
    a, b = (refute_effect(fit, effect, kinds=["placebo cause"], n_repeats=2, rng=4) for _ in range(2))
    np.testing.assert_array_equal(a.attempts[0].estimates, b.attempts[0].estimates)


def test_effects_learnt_from_durations_are_attacked_too():
    """Durations know of no events that open them."""
    drawn = CauseNetwork([Node("support", Baseline("minutes_customer_support"), cuts=[8.3])], ["support -> churn"])
    fit = drawn.fit(load_pysurvival_churn(), n_draws=100)
    effect = fit.effect("support", fit.states["support"][0], fit.states["support"][1], horizon=180)
    assert refute_effect(fit, effect, n_repeats=2).passed


def test_what_is_not_identified_has_nothing_to_refute(spells, fit, effect):
    hidden = network(edges=[*EDGES, "mood -> wait", "mood -> churn"], latent=["mood"]).fit(
        spells, breaks=BREAKS, n_draws=20
    )
    with pytest.raises(IdentificationError, match="no estimate to refute"):
        refute_effect(hidden, hidden.effect("wait", SHORT))
    with pytest.raises(ArgumentError, match="placebo"):
        refute_effect(fit, effect, kinds=["voodoo"])
