"""The model written in PyMC has the density and the gradient of the closed form, for every composition."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from threadpoolctl import threadpool_limits

from churnsurv.models.hierarchical.reference import reference_model, reference_point
from tests.models.hierarchical.compositions import NAMES, ROWED, cached_case

PLAIN = Mode(linker="py", optimizer=None)
"""Nothing is compiled nor rewritten: a hundred evaluations are not worth it."""
SLOW = (
    "two slopes", "three slopes", "nested", "frailty", "cure", "immune, late", "frailty, cure",
    "weibull, frailty, late", "weibull, rounded, late", "lognormal, immune, late",
    *(name for name in ROWED if name not in ("rows, lognormal, frailty", "rows, piecewise, rounded, frailty, immune")),
)  # fmt: skip
"""Parts of others: PyTensor takes seconds to differentiate each."""
ROUNDING = 1e-7
"""PyMC's ``normal_lccdf`` divides by a root of two in single precision; SciPy's agrees with ours to the last digits."""


def compiled(model, outputs):
    return model.compile_fn(outputs, inputs=model.continuous_value_vars, mode=PLAIN, on_unused_input="ignore")


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in NAMES])
def test_value_and_gradient_are_pymcs(name):
    """The value at a hundred points, the gradient at ten, or a hundred too in the slow run."""
    case = cached_case(name)
    problem = case.problem
    model = reference_model(problem)
    values = model.continuous_value_vars
    log_density = model.logp()
    slopes = pytensor.grad(log_density, values, disconnected_inputs="raise")
    alone, both = compiled(model, [log_density]), compiled(model, [log_density, *slopes])
    for k, position in enumerate(case.positions(100, seed=2)):
        point = reference_point(problem, position)
        assert set(point) == {variable.name for variable in values}
        value, gradient = problem.density.value_and_gradient(position)
        theirs, *slopes = (both if k < 10 or name in SLOW else alone)(point)
        assert value == pytest.approx(float(theirs), rel=ROUNDING if name.count("lognormal") else 1e-9)
        ours = reference_point(problem, gradient)
        for variable, slope in zip(values, slopes, strict=True) if slopes else ():
            atol = 1e-6 * np.abs(gradient).max()
            np.testing.assert_allclose(ours[variable.name], slope, rtol=1e-6, atol=atol, err_msg=variable.name)


@pytest.mark.parametrize("name", [pytest.param("three slopes", marks=pytest.mark.slow), "months", "all at once"])
def test_deterministics_are_the_posteriors(name):
    """Names, dims and values of everything that a fit's posterior holds."""
    case = cached_case(name)
    problem = case.problem
    position = case.positions(1, seed=3)[0]
    named, coords = problem.structure.named(problem.density.natural(position[None, None]))
    model = reference_model(problem)
    outputs = model.replace_rvs_by_values([pt.as_tensor(model[parameter]) for parameter in named])
    found = compiled(model, outputs)(reference_point(problem, position))
    for (parameter, (dims, values)), theirs in zip(named.items(), found, strict=True):
        assert tuple(model.named_vars_to_dims.get(parameter) or ()) == dims
        np.testing.assert_allclose(theirs, values[0, 0], rtol=1e-9, atol=1e-12, err_msg=parameter)
    assert all(list(model.coords[dim]) == list(labels) for dim, labels in coords.items())
