"""A density that is wrong in one place must be caught by the test that writes it out with SciPy."""

import inspect
import sys
import types
from dataclasses import fields

import pytest

from churnsurv.hazards import poisson
from churnsurv.models.hierarchical import density as density_module
from tests.models.hierarchical import test_density

problem = test_density.problem

MUTANTS = [
    ("+ self._log_knee + float(log_share.sum())", "+ self._log_knee"),
    ("+ self._log_knee + float(log_share.sum())", "+ float(log_share.sum())"),
    ("np.log(z_variance).sum()", "0.0"),
    ("0.5 * float(z_energy.sum()", "0.4 * float(z_energy.sum()"),
    ("fixed = level - shear @ random", "fixed = level + shear @ random"),
    ("fixed = level - shear @ random", "fixed = level.copy()"),
    ("z_variance = 1.0 + centred", "z_variance = 2.0 + centred"),
    ("random = self._scale * (self.centring.rotation @ along)", "random = self.centring.rotation @ along"),
    ("random = self._scale * (self.centring.rotation @ along)", "random = self._scale * along"),
    ("return sums - sums.mean(axis=0)", "return sums"),
    ("np.tril(np.ones((n, n)), -1)", "np.tril(np.ones((n, n)), 0)"),
    ("value += prior + sd_value", "value += sd_value"),
    ("value += prior + sd_value", "value += prior"),
    ("stretch = own_sd / np.sqrt(z_variance)", "stretch = own_sd"),
    ("log_baseline = fixed[0] + ", "log_baseline = "),
    ("log_multiplier = design.x @ fixed[1:]", "log_multiplier = 0 * design.x @ fixed[1:]"),
    ("log_multiplier += random", "log_multiplier -= random"),
    ("return np.concatenate([walk, np.ones(", "return np.concatenate([walk**2, np.ones("),
]
LIKELIHOOD = [
    (
        "expected_by_pattern = multiplier * (exposure @ baseline)",
        "expected_by_pattern = multiplier * ((exposure > 0) @ baseline)",
    ),
    ("value -= expected_by_pattern.sum()", "value += expected_by_pattern.sum()"),
    ("value -= expected_by_pattern.sum()", ""),
    ("np.dot(events_by_period, log_baseline)", "np.dot(events_by_period, baseline)"),
    ("- gammaln(events + 1.0)", ""),
    ("events * np.log(exposure)", "np.log(exposure)"),
]


def mutated(module, old, new):
    source = inspect.getsource(module)
    assert old in source
    other = types.ModuleType("mutated")
    other.__dict__["__name__"] = "mutated"
    sys.modules["mutated"] = other
    exec(compile(source.replace(old, new), "mutated", "exec"), other.__dict__)  # noqa: S102
    return other


def is_caught(problem, density):
    position = test_density.positions(1)[0]
    try:
        value, _ = density.value_and_gradient(position)
    except (ValueError, TypeError):
        return True
    return value != pytest.approx(test_density.by_scipy(problem, position), rel=1e-9, abs=1e-6)


def rebuilt(module, problem):
    """The same density by the mutated classes."""
    old = problem.density
    design = module.Design(**{f.name: getattr(old.design, f.name) for f in fields(old.design)})
    centring = module.Centring(**{f.name: getattr(old.centring, f.name) for f in fields(old.centring)})
    return module.LogPosterior(design, centring, old.intercept_prior, old.coef_prior, old.sd_priors)


def test_the_unchanged_density_survives(problem):
    assert not is_caught(problem, rebuilt(mutated(density_module, "", ""), problem))


@pytest.mark.parametrize(("old", "new"), MUTANTS)
def test_mutants_of_the_density_are_caught(old, new, problem):
    assert is_caught(problem, rebuilt(mutated(density_module, old, new), problem))


@pytest.mark.parametrize(("old", "new"), LIKELIHOOD)
def test_mutants_of_the_likelihood_are_caught(old, new, problem, monkeypatch):
    wrong = mutated(poisson, old, new)
    for name in ("proportional_value_and_score", "log_likelihood_constant"):
        monkeypatch.setattr(poisson, name, getattr(wrong, name))
    assert is_caught(problem, rebuilt(density_module, problem))
