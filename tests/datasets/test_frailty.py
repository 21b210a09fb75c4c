"""The gamma posterior against quadrature over the frailty."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from churnsurv.datasets.frailty import earlier_area, survive


@settings(max_examples=100, deadline=None)
@given(st.floats(0.2, 2.0), st.floats(0.0, 5.0), st.integers(0, 6), st.floats(0.0, 3.0))
def test_survive_is_a_ratio_of_integrals(theta, spent, events, gained):
    def weight(x, extra):
        # Frailty x²: the substitution takes the pole of the gamma density at zero away.
        return 2 * x * (x * x) ** (1 / theta - 1 + events) * np.exp(-x * x * (1 / theta + spent + extra))

    below, above = (integrate.quad(weight, 0, np.inf, args=(extra,), limit=200)[0] for extra in (0.0, gained))
    got = survive(
        np.array([[gained]]), spent=np.array([spent]), events=np.array([events]), frailty_variance=theta, frailty=None
    )
    assert got[0, 0] == pytest.approx(above / below, rel=1e-6)


def test_known_or_constant_frailty():
    spent, events = np.zeros(1), np.zeros(1, int)
    known = survive(np.array([[0.5]]), spent=spent, events=events, frailty_variance=1.0, frailty=np.array([2.0]))
    assert known[0, 0] == pytest.approx(np.exp(-1.0))
    alike = survive(np.array([[0.5]]), spent=spent, events=events, frailty_variance=0.0, frailty=None)
    assert alike[0, 0] == pytest.approx(np.exp(-0.5))


def test_earlier_area_stays_within_the_customer():
    area, number = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([1, 2, 3, 1, 2])
    assert earlier_area(area, np.arange(5), number).tolist() == [0.0, 1.0, 3.0, 0.0, 8.0]
