"""A density that is wrong in one place must be caught by the tests that write it out by hand.

A mutant lives in the library's own functions: their code is exchanged for that of a changed copy of the module.
"""

import importlib
import inspect
import sys
import types
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import pytest

from tests.models.hierarchical.compositions import case_of
from tests.models.hierarchical.test_density import differences, natural_parts

MODELS, HAZARDS = "churnsurv.models.hierarchical", "churnsurv.hazards"
MUTANTS = {
    f"{MODELS}.density": [
        ("plain", "+ self._log_knee + float(log_share.sum())", "+ self._log_knee"),
        ("plain", "+ self._log_knee + float(log_share.sum())", "+ float(log_share.sum())"),
        ("plain", "z_energy.sum() + np.log(z_variance).sum()", "z_energy.sum()"),
        ("plain", "0.5 * float(z_energy.sum()", "0.4 * float(z_energy.sum()"),
        ("plain", "fixed = level - centring.shear @ random", "fixed = level + centring.shear @ random"),
        ("plain", "fixed = level - centring.shear @ random", "fixed = level.copy()"),
        ("plain", "z_variance = 1.0 + centred", "z_variance = 2.0 + centred"),
        ("plain", "= self.layout.scale * (centring.rotation @ along)", "= centring.rotation @ along"),
        ("plain", "= self.layout.scale * (centring.rotation @ along)", "= self.layout.scale * along"),
        ("plain", "value += prior + sd_value", "value += sd_value"),
        ("plain", "value += prior + sd_value", "value += prior"),
        ("plain", "stretch = own_sd / np.sqrt(z_variance)", "stretch = own_sd"),
        ("plain", "random_slope = random_slope - fixed_slope @ centring.shear", "pass"),
        ("plain", "+ (1.0 - share)", ""),
        ("frailty", "float(sd[-1]) if self.layout.frailty", "float(sd[0]) if self.layout.frailty"),
        ("frailty", "log_sd_slope[-1] += frailty_slope", "pass"),
        ("three slopes", "value += terms.value", "pass"),
    ],
    f"{MODELS}.vectors": [
        ("three slopes", "- factor.log_root", ""),
        ("three slopes", "precision + self.centring.information", "precision"),
        ("three slopes", "inverse / np.outer(sd, sd)", "inverse * np.outer(sd, sd)"),
        ("three slopes", "self.centring.rotation @ directions", "directions"),
        ("three slopes", "lkj - 0.5 * float(", "0.5 * float("),
        ("three slopes", "value += 0.5 * n * float(", "value += 0.5 * float("),
        ("three slopes", "by_root[:, index, index] -= 1.0 / root[:, index, index]", "pass"),
        ("three slopes", "inner[:, index, index] *= 0.5", "pass"),
        ("three slopes", "+ 0.5 * n * covariance", ""),
    ],
    f"{MODELS}.correlation": [
        ("three slopes", "0.5 * (size - 2 - pairs(size)[1])", "0.5 * (size - 1 - pairs(size)[1])"),
        ("two slopes", "concentration + 0.5 * (size", "concentration - 1.0 + 0.5 * (size"),
        ("three slopes", "left[..., i] *= 1.0 - y**2", "left[..., i] *= 1.0 - y"),
        ("three slopes", "y * np.sqrt(left[..., i])", "y * left[..., i]"),
        ("two slopes", "constant + np.sum(beta * log_rest)", "np.sum(beta * log_rest)"),
        ("three slopes", "= -y * factor[i, j + 1 :]", "= 0.0"),
        ("two slopes", "-2.0 * beta * np.tanh(free)", "-2.0 * (beta - 1.0) * np.tanh(free)"),
    ],
    f"{MODELS}.cells": [
        ("shapes", "forward.log_hazard - float(self.exposure @", "forward.log_hazard + float(self.exposure @"),
        ("shapes", "float(self.events @ eta)", "float((self.events > 0) @ eta)"),
        ("shapes", "self.events + score * forward.cumulative", "self.events + score"),
        ("plain", '"events_by_period": self.events.sum(axis=0)', '"events_by_period": self.exposure.sum(axis=0)'),
        ("plain", "random_a + random_b, 0.0", "random_a, 0.0"),
        ("plain", "own + mixed + mixed.T", "own"),
        ("frailty", "forward.cumulative[:, None] * self.linear.by_effect", "self.linear.by_effect"),
        ("frailty", "(score * forward.cumulative)[:, None] * x", "score[:, None] * x"),
    ],
    f"{MODELS}.units": [
        ("frailty", "forward.log_hazard + factor + float(", "forward.log_hazard + float("),
        ("frailty", "forward.log_hazard + factor + float(", "factor + float("),
        ("frailty", "2.0 * by_log_variance", "by_log_variance"),
        ("frailty", "frailty_sd**2,\n", "frailty_sd,\n"),
        ("cure", '"alive": units.alive', '"alive": units.events'),
        ("cure", '"kind": units.kind', '"kind": 0 * units.kind'),
        ("immune, late", '"entry": hazard.get("before")', '"entry": None'),
        ("immune, late", '"immune": units.immune', '"immune": False'),
        ("frailty, late", '"before": terms.by_entry', '"before": 0.0 * terms.by_entry'),
        ("cure", "by_fixed + more_fixed", "by_fixed"),
    ],
    f"{MODELS}.unit_curvature": [
        ("frailty, cure", "whole if a == b else whole + whole.T", "whole"),
        ("immune, late", '("before", "logit"): terms.entry_logit,', ""),
        ("cure", "paths[\"logit\"] = cured.by_effect", "pass"),
        ("frailty", "(second[:, None] * paths[b])", "paths[b]"),
    ],
    f"{MODELS}.cell_problem": [
        ("cure", "else customers.has_last", "else ~customers.has_last"),
        ("cure", "matrix(customers.last)", "whole"),
        ("cure", "else customers.n_alive", "else n_events"),
        ("immune, late", "np.minimum(n_events, 1)", "n_events + 1"),
        ("immune, late", "whole = sparse.csr_array(whole + before)", "pass"),
        ("frailty, late", "whole = sparse.csr_array(whole + before)", "pass"),
        ("cure", "certain = sparse.csr_array(whole - doubtful)", "certain = whole"),
    ],
    f"{HAZARDS}.frailty": [
        ("frailty", "np.dot(with_more, np.log1p(growth))", "np.dot(with_more, np.log1p(growth + variance))"),
        ("frailty", "np.cumsum(counts[::-1])[::-1][1:]", "np.cumsum(counts[::-1])[::-1][:-1]"),
        ("frailty", "growth / (1.0 + growth)", "growth"),
    ],
    f"{HAZARDS}.frailty_parts": [
        ("frailty", "a = 1.0 / theta\n    inverse", "a = theta\n    inverse"),
        ("frailty", "shape = events + a\n    ratio", "shape = events\n    ratio"),
        ("frailty", "tilt -= events * share", "pass"),
        ("cure", "value -= np.logaddexp(0.0, -logit)", "pass"),
        ("cure", "log_odds = gone.value - there.value", "log_odds = there.value - gone.value"),
        ("frailty, cure", "_laplace(certain + ambiguous, events", "_laplace(ambiguous, events"),
        ("cure", "np.multiply(alive, -np.logaddexp(0.0, logit))", "np.multiply(alive, -np.logaddexp(0.0, -logit))"),
        ("frailty, late", "return {names[name]: -term for", "return {names[name]: term for"),
        ("cure", "both - cured * (1.0 - cured)", "both"),
        ("frailty, cure", "+ both * apart**2", ""),
    ],
    f"{HAZARDS}.poisson": [
        ("plain", "multiplier * (exposure @ baseline)", "multiplier * ((exposure > 0) @ baseline)"),
        ("plain", "value -= expected_by_pattern.sum()", "value += expected_by_pattern.sum()"),
        ("plain", "value -= expected_by_pattern.sum()", "pass"),
        ("plain", "np.dot(events_by_period, log_baseline)", "np.dot(events_by_period, baseline)"),
        ("plain", "- gammaln(events + 1.0)", ""),
        ("plain", "events * np.log(exposure)", "np.log(exposure)"),
    ],
    f"{MODELS}.layout": [
        ("plain", "return sums - sums.mean(axis=0)", "return sums"),
        ("plain", "np.tril(np.ones((n, n)), -1)", "np.tril(np.ones((n, n)), 0)"),
    ],
    f"{MODELS}.pieces": [
        ("plain", "np.diff(np.log(0.5 * ", "np.diff((0.5 * "),
        ("months", "return month % 12", "return (month + 1) % 12"),
        ("months", "return month - first_month", "return month - first_month - 1"),
        ("shapes", "level * piece.sizes[1] + period", "level + period"),
    ],
    f"{MODELS}.linear": [
        ("three slopes", "columns = (self.level[:, None] * q + np.arange(q)).ravel()", "columns = np.repeat(self.level, q)"),
    ],
    f"{MODELS}.rows": [
        ("weibull, frailty, late", "float(self.weighted_event @ curves.log_hazard.value)", "float(self.weighted_event.sum())"),
        ("weibull, frailty, late", "eta - np.log(self.stop)", "eta"),
        ("weibull, frailty, late", "slopes += (score * forward.cumulative) * curves.log_cumulative.first", "pass"),
    ],
    f"{MODELS}.row_problem": [
        ("weibull, rounded, late", "np.maximum(rows.start, rows.stop - rounded)", "rows.start"),
        ("weibull, frailty, late", "whole = _with_beginnings(whole, episodes, cluster)", "pass"),
        ("rows, weibull, slopes by a number", "share = share_of_spell(episodes, cluster) *", "share = np.ones(len(cluster)) *"),
        ("rows, weibull, slopes by a number", "centre = np.where(numeric, share @ x, 0.0)", "centre = 0.0 * (share @ x)"),
        ("rows, piecewise, shapes", "rows.event[row] * last", "rows.event[row]"),
        ("rows, lognormal, frailty", "weight[cluster] = episodes.weight", "weight[cluster] = 1.0"),
        ("rows, lognormal, frailty", "first[1:] = (np.diff(cluster) != 0)", "first[1:] = (np.diff(cluster) == 0)"),
        ("rows, weibull, cure", "followed = n_spells - 1 + ended", "followed = n_spells - 1"),
        ("rows, weibull, cure", "in_last = episodes.spell == last_spell[cluster]", "in_last = cluster >= 0"),
        ("rows, piecewise, rounded, frailty, immune", "np.where(windows > 0, 2, open_", "np.where(windows > 0, 0, open_"),
    ],
    f"{MODELS}.baselines.weibull": [
        ("weibull, frailty, late", "Curve(shape[0] + power,", "Curve(power,"),
        ("weibull, frailty, late", "value = power + np.log(-np.expm1(-fall))", "value = power"),
    ],
}  # fmt: skip
EVERY = [(module, *one) for module, found in MUTANTS.items() for one in found]


def code_of(owner):
    """Functions of a module or a class, by where they are written."""
    found = {}
    for name, value in vars(owner).items():
        if isinstance(value, types.FunctionType):
            found[name] = value
        elif isinstance(value, (classmethod, staticmethod)):
            found[name] = value.__func__
        elif isinstance(value, property):
            found[name] = value.fget
        elif isinstance(value, cached_property):
            found[name] = value.func
        elif inspect.isclass(value) and value.__module__ == owner.__name__:
            found |= {f"{name}.{key}": one for key, one in code_of(value).items()}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, types.FunctionType) and one.__code__.co_filename != "<string>"
    }


@contextmanager
def mutated(module, old, new):
    """Exchange the code of a module's functions for that of a changed copy."""
    original = importlib.import_module(module)
    source = inspect.getsource(original)
    assert old in source, f"{module} does not hold {old!r}"
    copy = types.ModuleType(module)
    copy.__dict__["__name__"] = "mutated"
    sys.modules["mutated"] = copy
    exec(compile(source.replace(old, new), original.__file__, "exec"), copy.__dict__)  # noqa: S102
    copy.__name__ = "mutated"
    ours, theirs = code_of(original), code_of(copy)
    before = {name: one.__code__ for name, one in ours.items()}
    changed = {name for name in ours if name in theirs and theirs[name].__code__ != before[name]}
    assert changed or old == new, "the mutant changes nothing"
    try:
        for name in changed:
            ours[name].__code__ = theirs[name].__code__
        yield
    finally:
        for name in changed:
            ours[name].__code__ = before[name]
        del sys.modules["mutated"]


def is_right(name):
    """Value by hand, gradient and information by differences, at one position of a problem bound anew."""
    case = case_of(name)
    density, position = case.problem.density, case.positions(1, seed=8)[0]
    value, gradient = density.value_and_gradient(position)
    hand = case.parameters(position)
    expected = hand.log_prior + case.log_likelihood(hand.named)
    if value != pytest.approx(expected, rel=1e-10, abs=1e-6):
        return False
    numeric = differences(lambda x: density.value_and_gradient(x)[0], position)
    if not np.allclose(gradient, numeric, rtol=1e-5, atol=1e-5 * np.abs(gradient).max()):
        return False
    fixed, random, frailty_sd = natural_parts(density, position)

    def slope(effects):
        _, *parts, _ = density.likelihood.value_and_slope(*np.split(effects, [len(fixed)]), frailty_sd)
        return np.concatenate(parts)

    found = density.likelihood.information(fixed, random, frailty_sd)
    numeric = -differences(slope, np.concatenate([fixed, random]))
    return np.allclose(found, numeric, rtol=1e-5, atol=1e-5 * np.abs(found).max())


def is_caught(name):
    try:
        with np.errstate(all="ignore"):
            return not is_right(name)
    except (ValueError, TypeError, IndexError, np.linalg.LinAlgError):
        return True


@pytest.mark.parametrize("name", sorted({one[1] for one in EVERY}))
def test_the_unchanged_density_survives(name):
    assert is_right(name)


def test_exchanging_code_for_itself_changes_nothing():
    with mutated(f"{MODELS}.density", "", ""):
        assert is_right("plain")


@pytest.mark.parametrize(("module", "name", "old", "new"), EVERY)
def test_mutants_are_caught(module, name, old, new):
    with mutated(module, old, new):
        assert is_caught(name)
    assert len(EVERY) >= 30
