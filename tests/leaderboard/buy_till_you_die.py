"""BG/NBD and Pareto/NBD: customers buy at a rate of their own until, unseen, they are gone. References to compare with.

A customer is known by ``x`` repeat purchases, the last of them ``t_x`` days after the first purchase, ``T`` days of
watching in all. The likelihood of ``(x, t_x, T)`` is the density of the purchases and of no further one until ``T``, so
that of no purchase for another ``h`` days is ``L(x, t_x, T + h) / L(x, t_x, T)``: a ratio of integrals over what is not
known of the customer, as for every fit of the library.

Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model. Marketing Science 24(2), 275-284, equation 6.
Schmittlein, D. C., Morrison, D. G. and Colombo, R. (1987). Counting Your Customers: Who Are They and What Will They Do
Next? Management Science 33(1), 1-24; in the form of Fader, P. S. and Hardie, B. G. S. (2005), A Note on Deriving the
Pareto/NBD Model and Related Expressions.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, logsumexp

from churnsurv.errors import DefinitionError, NoEventsError
from churnsurv.models.base import FitInfo, check_support
from churnsurv.models.point import PointFit
from churnsurv.tables.churn import Silence
from churnsurv.tables.schema import CellSchema

NODES, WEIGHTS = np.polynomial.legendre.leggauss(128)
NEGLIGIBLE = 40.0
"""Decay, in powers of e, behind which an integrand adds nothing in double precision."""


def bg_nbd(parameters, x, t_x, T):
    """Log-likelihood of each customer; parameters r, alpha (purchases), a, b (leaving after a repeat purchase)."""
    r, alpha, a, b = parameters
    purchases = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
    gone = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return purchases + np.logaddexp(alive, np.where(x > 0, gone, -np.inf))


def pareto_nbd(parameters, x, t_x, T):
    """Log-likelihood of each customer; parameters r, alpha (purchases), s, beta (leaving, in days).

    Whoever left at ``t`` between the last purchase and ``T`` adds ``s (alpha + t)^-(r+x) (beta + t)^-(s+1)``. Over
    ``u = log((m + t) / (m + t_x))`` with ``m`` the smaller of alpha and beta that is smooth on a scale of one, falls at least
    as fast as at ``t_x``, and is integrated by 128 nodes to where nothing is left. The hypergeometric form of the same
    integral loses digits for customers of hundreds of purchases.
    """
    r, alpha, s, beta = parameters
    purchases = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    alive = -(r + x) * np.log(alpha + T) - s * np.log(beta + T)
    m = min(alpha, beta)
    falls = (m + t_x) * ((r + x) / (alpha + t_x) + (s + 1.0) / (beta + t_x)) - 1.0
    width = np.minimum(np.log((m + T) / (m + t_x)), NEGLIGIBLE / np.maximum(falls, 1e-12))
    grown = (m + t_x)[:, None] * np.exp(width[:, None] * (NODES + 1.0) / 2.0)  # m + t
    with np.errstate(divide="ignore"):
        inside = np.log(width / 2.0)[:, None] + np.log(WEIGHTS)
    inside = inside + np.log(s) + np.log(grown)
    inside = inside - (r + x)[:, None] * np.log(grown - m + alpha) - (s + 1.0) * np.log(grown - m + beta)
    return purchases + np.logaddexp(alive, logsumexp(inside, axis=1))


LIKELIHOODS = {"BG/NBD": bg_nbd, "Pareto/NBD": pareto_nbd}


def maximum(likelihood, x, t_x, T):
    """Maximum-likelihood parameters, in the time unit of the arrays, from three starts."""
    unit = float(np.mean(T)) / 30.0

    def loss(logs):
        with np.errstate(over="ignore", invalid="ignore"):
            value = -np.mean(likelihood(np.exp(logs), x, t_x / unit, T / unit))
        return value if np.isfinite(value) else 1e10

    box = [(-8.0, 10.0)] * 4
    starts = ([0.0, 1.0, 0.0, 1.0], [-0.7, 1.5, -0.7, 2.3], [0.5, 2.0, 1.0, 3.0])
    best = min((minimize(loss, start, method="L-BFGS-B", bounds=box) for start in starts), key=lambda one: one.fun)
    scale = np.array([1.0, unit, 1.0, unit if likelihood is pareto_nbd else 1.0])
    return tuple(np.exp(best.x) * scale)


def purchases_of(customer, days, event):
    """``x``, ``t_x``, ``T`` of each customer from gaps: how many ended with a return, their sum, and with the open one."""
    n = int(customer.max()) + 1
    x = np.bincount(customer, event > 0, n)
    return x, np.bincount(customer, np.where(event > 0, days, 0.0), n), np.bincount(customer, days, n)


@dataclass(frozen=True)
class BuyTillYouDie:
    """A model of a customer's purchases, as a model of gaps; it knows of no covariates."""

    name: str

    supports: ClassVar[frozenset[str]] = frozenset()
    fits_on: ClassVar[str] = "spells"

    def fit(self, spells, /, *, rng=0, progress=False):
        """Estimate the four parameters by maximum likelihood."""
        check_support(self, spells)
        if not isinstance(spells.churn, Silence) or spells.churn.terminal:
            raise DefinitionError("a model of purchases was asked about contracts.")
        began = time.perf_counter()
        frame = spells.frame()
        customer = np.unique(frame["customer_id"].to_numpy(str), return_inverse=True)[1]
        days, event = frame["exit"].to_numpy(float), frame["event"].to_numpy()
        if not event.any():
            raise NoEventsError("nobody bought twice.")
        parameters = maximum(LIKELIHOODS[self.name], *purchases_of(customer, days, event))
        schema = CellSchema(spells.churn, (0.0, max(spells.longest(), spells.churn.days)), (), timezone=spells.timezone)
        info = FitInfo(
            status="ok",
            seconds=time.perf_counter() - began,
            n_spells=len(days),
            n_events=int(event.sum()),
            fingerprint=repr(parameters),
        )
        return BuyTillYouDieFit(self, schema, info, parameters, np.sort(days))


@dataclass(frozen=True, eq=False)
class BuyTillYouDieFit(PointFit):
    """Four numbers."""

    uses_history: ClassVar[bool] = True

    model: BuyTillYouDie
    schema: CellSchema
    info: FitInfo
    parameters: tuple[float, ...]
    exits: np.ndarray

    def _stays(self, rows, until):
        past, reached = rows.history, np.asarray(rows.reached, float)
        closed = ~past.current & (past.event > 0)
        n = len(reached)
        x = np.bincount(past.place[closed], minlength=n).astype(float)
        t_x = np.bincount(past.place[closed], (past.stop - past.start)[closed], n)
        likelihood = LIKELIHOODS[self.model.name]
        now = likelihood(self.parameters, x, t_x, t_x + reached)
        later = [likelihood(self.parameters, x, t_x, t_x + until[:, k]) for k in range(until.shape[1])]
        return np.exp(np.column_stack(later) - now[:, None])

    def n_at_risk(self, times, rows=None):
        """Training gaps that reached each time."""
        return np.asarray(len(self.exits) - np.searchsorted(self.exits, np.asarray(times, float)), np.int64)
