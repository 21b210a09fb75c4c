"""States that change while somebody is at risk: a Markov chain in continuous time with rates constant over a stretch."""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray


def occupancy(initial: FloatArray, rates: FloatArray, days: float) -> tuple[FloatArray, FloatArray]:
    r"""Where the chain is after a stretch of constant rates, and how long it has been where.

    .. math:: p(t) = p(0)\, e^{Qt}, \qquad \tau = \int_0^{t} p(s)\, ds

    by uniformisation [1]_: with :math:`\Lambda` no smaller than any rate of leaving and :math:`P = I + Q / \Lambda`,
    :math:`p(t) = \sum_k e^{-\Lambda t} (\Lambda t)^k / k! \; p(0) P^k`, and the times are the same sum with weights
    :math:`\Lambda^{-1} P(N > k)`. All terms are positive: nothing cancels, whatever the rates. Cost: about
    :math:`\Lambda t + 9 \sqrt{\Lambda t} + 30` products of a vector and a matrix for each chain.

    Parameters
    ----------
    initial : array of shape (..., n_states)
        Probabilities at the beginning, >= 0; they may sum to less than 1.
    rates : array of shape (..., n_states, n_states)
        Rates per day from each state (row) to each other one; on the diagonal minus the rate of leaving, which may
        exceed the sum of the row's others: the rest leaves for good.
    days : float
        Length of the stretch, >= 0.

    Returns
    -------
    final : array of shape (..., n_states)
        Probabilities at the end; what is missing from ``initial.sum()`` has left.
    time : array of shape (..., n_states)
        Expected days in each state. A rate :math:`\lambda_m` at which something happens in state *m* has brought it about
        with probability :math:`\sum_m \lambda_m \tau_m`.

    References
    ----------
    .. [1] Jensen, A. (1953). Markoff chains as an aid in the study of Markoff processes. *Skandinavisk
       Aktuarietidskrift*, 36, 87–91.

    Examples
    --------
    One state that is left at 0.1 a day: after ten days exp(-1) is there.

    >>> final, time = occupancy(np.array([1.0]), np.array([[-0.1]]), 10.0)
    >>> final.round(4), time.round(4)
    (array([0.3679]), array([6.3212]))
    """
    shape = np.broadcast_shapes(initial.shape, rates.shape[:-1])
    leaving = -np.diagonal(rates, axis1=-2, axis2=-1)
    fastest = float(leaving.max(initial=0.0))
    if days == 0 or fastest == 0:
        held = np.broadcast_to(initial, shape).astype(np.float64)
        return held, held * days
    # Long stretches in parts: exp(-Λt) must not vanish, and the number of terms stays near the square root's.
    parts = max(1, int(np.ceil(fastest * days / 100.0)))
    jump = np.eye(rates.shape[-1]) + rates / fastest
    weights, beyond = _poisson(fastest * days / parts)
    here, spent = np.broadcast_to(initial, shape).astype(np.float64), np.zeros(shape)
    for _ in range(parts):
        final = np.zeros(shape)
        for weight, more in zip(weights, beyond, strict=True):
            final += weight * here
            spent += (more / fastest) * here
            here = np.matmul(here[..., None, :], jump)[..., 0, :]
        here = final
    return here, spent


def _poisson(mean: float) -> tuple[FloatArray, FloatArray]:
    """Probabilities of 0, 1, 2, … jumps, and of more than that, up to where less than 1e-15 is to come."""
    count = np.arange(int(mean + 9 * np.sqrt(mean) + 30))
    weight = np.exp(np.concatenate([[0.0], np.cumsum(np.log(mean / count[1:]))]) - mean)
    weight /= weight.sum()  # nobody is lost by the cut
    return weight, np.append(np.cumsum(weight[:0:-1])[::-1], 0.0)
