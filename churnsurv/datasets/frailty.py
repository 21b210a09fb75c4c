"""What a shared gamma frailty does to the future of one customer, in closed form."""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray, IntArray


def survive(
    gained: FloatArray, *, spent: FloatArray, events: IntArray, frailty_variance: float, frailty: FloatArray | None
) -> FloatArray:
    r"""Probability that no event comes while the cumulative hazard grows by ``gained``.

    .. math:: e^{-Z g} \qquad \text{or, averaged over } Z \mid \text{history}: \qquad
       \left(\frac{1/\theta + A}{1/\theta + A + g}\right)^{1/\theta + d}

    The posterior of a gamma frailty after *d* events and cumulative hazard *A* is gamma with shape
    1/θ + d and rate 1/θ + A; its Laplace transform gives the second form.

    Parameters
    ----------
    gained : array of shape (n, k)
        Cumulative hazard still to come, without frailty.
    spent : array of shape (n,)
        Cumulative hazard so far, all spells of the customer together, without frailty.
    events : array of shape (n,)
        Events of the customer so far.
    frailty_variance : float
        Variance of the frailty; 0 makes it 1.
    frailty : array of shape (n,) or None
        The frailty itself where it is known.

    References
    ----------
    .. [1] Duchateau, L. and Janssen, P. (2008). *The Frailty Model*, ch. 2 and 4. Springer.

    Examples
    --------
    >>> survive(np.array([[1.0]]), spent=np.zeros(1), events=np.zeros(1, int), frailty_variance=1.0, frailty=None)
    array([[0.5]])
    """
    if frailty is not None or frailty_variance == 0:
        factor = np.ones(len(spent)) if frailty is None else frailty
        return np.exp(-factor[:, None] * gained)
    rate = (1 / frailty_variance + spent)[:, None]
    survival: FloatArray = (rate / (rate + gained)) ** (1 / frailty_variance + events)[:, None]
    return survival


def earlier_area(area: FloatArray, rows: IntArray, number: IntArray) -> FloatArray:
    """Cumulative hazard of each customer's spells before the given one.

    Parameters
    ----------
    area : array of shape (n_spells,)
        Of each spell; a customer's spells stand together, in order.
    rows : array of shape (n,)
        Positions of the given spells.
    number : array of shape (n,)
        1 for a customer's first spell.

    Examples
    --------
    >>> earlier_area(np.array([0.5, 0.25, 4.0]), np.array([1, 2]), np.array([2, 1]))
    array([0.5, 0. ])
    """
    spent = np.concatenate([[0.0], np.cumsum(area)])
    earlier: FloatArray = np.maximum(spent[rows] - spent[rows - (number - 1)], 0.0)
    return earlier
