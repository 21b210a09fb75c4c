"""Cumulative incidence of competing causes, from what each cause alone would leave.

Equation numbers refer to the page of quantities (docs/explanation/quantities.md).
"""

from __future__ import annotations

import numpy as np

from churnsurv._typing import FloatArray

_LEAST = 1e-300
"""Below this a survival counts as nobody: its logarithm would be infinite, and two of them have no difference."""


def incidence_of_causes(survival: FloatArray) -> FloatArray:
    r"""Probability of each cause up to each time, when whatever happens first ends the spell.

    Between two neighbouring times the causes share those who leave in proportion to the rises of their own cumulative
    hazards:

    .. math:: F_c(t_m) = \sum_{i \le m} \frac{H_c(t_i) - H_c(t_{i-1})}{\sum_k H_k(t_i) - H_k(t_{i-1})}
              \{S(t_{i-1}) - S(t_i)\} , \qquad S = \prod_k S_k , \quad H_k = -\log S_k

    so that :math:`S + \sum_c F_c = 1` whatever the times are. Where the ratio of the hazards does not change between two
    times, as with hazards that are constant there, the sum is the integral :math:`\int h_c S`. Otherwise it is off by a
    share of about a twelfth of the change of that ratio times the rise of the total hazard between two times, and of half
    that rise at the very worst: where one cause always comes before the other.

    Parameters
    ----------
    survival : array of shape (n_causes, ..., n_times)
        What each cause would leave if it were alone, at times that do not decrease; 1 at the first time. NaN where
        nothing is known.

    Returns
    -------
    array of shape (n_causes, ..., n_times)
        Probabilities; 0 at the first time, NaN from the first time on at which any cause is NaN.

    References
    ----------
    .. [1] Kalbfleisch, J. D. and Prentice, R. L. (2002). *The Statistical Analysis of Failure Time Data*, 2nd ed.,
       section 8.2. Wiley.
    .. [2] Putter, H., Fiocco, M. and Geskus, R. B. (2007). Tutorial in biostatistics: competing risks and multi-state
       models. *Statistics in Medicine*, 26, 2389–2430.

    Examples
    --------
    Hazards 0.01 and 0.03 for 25 days: a quarter and three quarters of 1 - exp(-1).

    >>> survival = np.exp(-np.outer([0.01, 0.03], [0.0, 25.0]))
    >>> incidence_of_causes(survival)[:, 1].round(3)
    array([0.158, 0.474])
    """
    rise = np.maximum(survival, _LEAST)
    np.log(rise, out=rise)
    rise = rise[..., :-1] - rise[..., 1:]
    np.maximum(rise, 0.0, out=rise)
    total, alive = rise[0].copy(), survival[0].copy()
    for k in range(1, len(survival)):
        total += rise[k]
        alive *= survival[k]
    leaving = alive[..., :-1] - alive[..., 1:]
    rise *= np.divide(leaving, total, out=np.zeros_like(total), where=total != 0)
    incidence = np.zeros_like(survival)
    np.cumsum(rise, axis=-1, out=incidence[..., 1:])
    return incidence
