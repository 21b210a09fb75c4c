"""Which rules are told: as mlxtend counts them, and neither what chance makes, nor few customers, nor what adds nothing."""

import math

import numpy as np
import pandas as pd
import pytest

from churnsurv.causes.patterns.candidates import MAX_CANDIDATES
from churnsurv.causes.patterns.ratios import Customers, RateRatios
from churnsurv.causes.patterns.rows import PatternRows
from churnsurv.errors import ArgumentError
from tests.causes.drawn_patterns import rows_of, rules, simulated


def test_the_same_as_association_rules():
    """Confidence, lift and supports are mlxtend's where each row is a spell: consequent churn, every candidate."""
    from mlxtend.frequent_patterns import association_rules, fpgrowth

    rng = np.random.default_rng(2)
    codes = rng.integers(0, 3, (400, 4))
    churned = rng.random(400) < np.where(codes[:, 0] == 1, 0.5, 0.2)
    found = rules(
        rows_of(codes, np.ones(400), churned, unit="spell", n_levels=3), max_conditions=3, min_events=4, horizon=None
    )
    items = pd.DataFrame({f"x{k} {'abc'[level]}": codes[:, k] == level for k in range(4) for level in range(3)})
    sets = fpgrowth(items.assign(churn=churned), min_support=4 / 400, use_colnames=True, max_len=4)
    theirs = association_rules(sets, num_itemsets=400, metric="confidence", min_threshold=0.0)
    theirs = theirs[theirs["consequents"] == {"churn"}]
    ours = {frozenset(f"{name} {level}" for name, level in rule.conditions): rule for rule in found.rules}
    assert len(theirs) == len(ours) > 100
    for row in theirs.itertuples():
        rule = ours[row.antecedents]
        assert rule.confidence == pytest.approx(row.confidence, abs=1e-12)
        assert rule.lift == pytest.approx(row.lift, abs=1e-12)
        assert rule.support == pytest.approx(row._3, abs=1e-12)  # "antecedent support"
        assert rule.support * rule.confidence == pytest.approx(row.support, abs=1e-12)
        assert rule.n_events == round(row.support * 400)


@pytest.mark.parametrize("planted", [1.0, 2.5])
def test_false_discoveries_are_as_few_as_was_asked(planted):
    """Nothing but the planted level is told, and no longer rule that holds it: at most one rule in ten by chance."""
    rng, shares, found = np.random.default_rng(11), [], 0
    for _ in range(60):
        told = [
            r.rule
            for r in rules(simulated(rng, planted=planted, frailty=1.0), min_events=10, false_discovery=0.10).rules
        ]
        wrong = [rule for rule in told if planted == 1.0 or rule != "x0 b"]
        shares.append(len(wrong) / max(len(told), 1))
        found += "x0 b" in told
    assert np.mean(shares) < 0.10 + 2 * np.std(shares) / math.sqrt(len(shares)) + 1e-9
    assert np.mean(shares) < 0.15
    assert planted == 1.0 or found > 55


def test_taking_rows_for_customers_would_find_what_is_not_there():
    """The same simulation, each row a customer of its own: the test above can fail."""
    rng, told = np.random.default_rng(11), 0
    for _ in range(30):
        rows = simulated(rng, frailty=1.0, n_customers=60, n_rows=30)
        alone = PatternRows(rows.columns, rows.codes, np.arange(len(rows.codes)), rows.exposure, rows.events)
        told += len(rules(alone, min_events=10, false_discovery=0.10)) > 0
    assert told > 10


def test_a_longer_rule_is_told_only_if_it_adds():
    rng = np.random.default_rng(4)
    one = rules(simulated(rng, planted=3.0, n_customers=1500), min_events=20, false_discovery=0.05)
    assert [rule.rule for rule in one.rules] == ["x0 b"]
    together = rules(simulated(rng, both=5.0, n_customers=1500), min_events=20, false_discovery=0.05)
    assert together.rules[0].rule == "x1 b and x2 b"
    assert together.rules[0].p_beyond >= together.rules[0].p_value
    assert together.rules[0].lower > 1


def test_the_largest_p_value_inside_shorter_rules():
    """Of three conditions: seven comparisons, written out."""
    rng = np.random.default_rng(8)
    rows = simulated(rng, planted=1.5, n_customers=100)
    found = {rule.conditions: rule for rule in rules(rows, max_conditions=3).rules}
    picked = [conditions for conditions in found if len(conditions) == 3][:15]
    for conditions in picked:
        met = {c: rows.codes[:, int(c[0][1])] == "ab".index(c[1]) for c in conditions}
        inside = np.logical_and.reduce(list(met.values()))
        largest = 0.0
        for size in range(8):
            part = [c for k, c in enumerate(conditions) if size >> k & 1]
            if len(part) == 3:
                continue
            within = np.logical_and.reduce([met[c] for c in part]) if part else np.ones(len(inside), bool)
            largest = max(largest, _p_value(rows, within, inside))
        assert found[conditions].p_beyond == pytest.approx(largest, abs=1e-12)
    assert len(picked) == 15


def _p_value(rows, within, inside):
    customers = Customers.of(rows.customer[within], rows.exposure[within], rows.events[within])
    return RateRatios.stack([customers.compare(inside[within])], trials=False).p_value[0]


def test_a_few_customers_seen_often_are_no_pattern():
    """Three of 100 customers have the condition and all trouble; each row copied 200 times tells nothing new."""
    customer = np.arange(100)
    codes = (customer < 3).astype(int)[:, None]
    events = np.where(customer < 3, 2, customer % 10 == 0)
    once = rows_of(codes, np.full(100, 10.0), events)
    copied = rows_of(np.repeat(codes, 200, 0), np.full(20_000, 10.0), np.repeat(events, 200), np.repeat(customer, 200))
    assert len(rules(once, false_discovery=0.05, max_conditions=1)) == 0
    assert len(rules(copied, false_discovery=0.05, max_conditions=1)) == 0
    alone = rows_of(np.repeat(codes, 200, 0), np.full(20_000, 10.0), np.repeat(events, 200))
    assert len(rules(alone, false_discovery=0.05, max_conditions=1)) == 1


def test_rules_of_the_same_rows_are_told_once():
    rng = np.random.default_rng(0)
    base = simulated(rng, planted=4.0, n_customers=400)
    twin = np.column_stack([base.codes[:, 0], 1 - base.codes[:, 0], base.codes[:, 1]])
    found = rules(rows_of(twin, base.exposure, base.events, base.customer), min_events=10, false_discovery=0.05)
    assert [(rule.rule, rule.same_as) for rule in found.rules] == [("x0 b", ("x1 a",))]
    assert found.frame()["same_as"].tolist() == ["x1 a"]


def test_short_rules_are_not_drowned_by_long_ones(engine):
    """With longer rules allowed, each length has its own part of the error: a half with two, a third with three."""
    rows = simulated(np.random.default_rng(1), planted=1.6)
    first = {k: next(r for r in rules(rows, max_conditions=k).rules if r.rule == "x0 b") for k in (1, 2, 3)}
    assert first[1].p_adjusted == pytest.approx(10 * first[1].p_beyond)  # five columns of two levels, and the smallest
    assert first[2].p_adjusted == pytest.approx(2 * first[1].p_adjusted)
    assert first[3].p_adjusted == pytest.approx(3 * first[1].p_adjusted)


def test_thresholds():
    rows = simulated(np.random.default_rng(6), planted=2.0)
    for least, share in ((110, 0.0), (1, 0.2)):
        found = rules(rows, max_conditions=3, min_events=least, min_share=share)
        everything = rules(rows, max_conditions=3)
        kept = {r.rule for r in everything.rules if r.n_events >= least and r.support >= share}
        assert {r.rule for r in found.rules} == kept
        assert 0 < len(kept) < len(everything)
    assert len(rules(rows, min_events=10**6)) == 0


def test_what_was_not_frequent_counts_as_examined():
    """A threshold on events chooses by the outcome: the p-values of what it leaves must not become smaller by it."""
    rows = simulated(np.random.default_rng(1), planted=1.6)
    all_of_them = rules(rows, max_conditions=1).rules
    most = max(rule.n_events for rule in all_of_them)
    (alone,) = rules(rows, max_conditions=1, min_events=most).rules
    assert alone.p_adjusted == pytest.approx(10 * alone.p_value)
    assert alone.p_adjusted == next(rule.p_adjusted for rule in all_of_them if rule.rule == alone.rule)


def test_what_holds_for_everybody_is_no_condition():
    rows = rows_of([[0, 0], [0, 1], [0, 1]], [10, 10, 10], [1, 0, 1])
    found = rules(rows)
    assert {rule.rule for rule in found.rules} == {"x1 a", "x1 b"}
    assert found.n_examined == 2


def test_too_many_combinations_are_refused(monkeypatch):
    rows = simulated(np.random.default_rng(1))
    monkeypatch.setattr("churnsurv.causes.patterns.candidates.MAX_CANDIDATES", 20)
    with pytest.raises(ArgumentError, match=r"50 combinations of 10 conditions .* more than 20") as caught:
        rules(rows)
    assert "raise min_events" in caught.value.hint
    assert MAX_CANDIDATES == 50_000
