"""The posterior of every composition written out by hand: labels, SciPy, one customer after another.

Nothing here is shared with the library but names: a term is found by its label, a level by its name.
"""

import itertools
import math
import re
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import integrate, special, stats

from churnsurv.models.hierarchical.priors import Exponential, HalfNormal, Normal, StudentT

FROZEN = {
    Normal: lambda p: stats.norm(p.mean, p.sd),
    StudentT: lambda p: stats.t(p.df, p.mean, p.sd),
    HalfNormal: lambda p: stats.halfnorm(0, p.sd),
    Exponential: lambda p: stats.expon(0, p.mean_sd),
}


@cache
def frozen(prior):
    """SciPy takes longer to make a distribution than to ask it."""
    return FROZEN[type(prior)](prior)


def log_prior(prior, value):
    return float(np.sum(frozen(prior).logpdf(value)))


def centred_walk(steps):
    """Walk from its steps, along the last axis: it begins at zero and is shifted to sum to zero."""
    walk = np.concatenate([np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    return walk - walk.mean(axis=-1, keepdims=True)


def values_of(name, effects, levels):
    """Values of a parameter from its block of effects."""
    if name in ("walk", "month"):
        return centred_walk(effects)
    if name.endswith("_walk"):
        return centred_walk(effects.reshape(*effects.shape[:-1], levels, -1))
    return effects


def correlation_matrix(free):
    """From partial correlations, sizes two and three, and the log of the Jacobian in the free numbers."""
    y = np.tanh(free)
    jacobian = np.sum(np.log(1 - y**2))
    if len(y) == 1:
        return np.array([[1, y[0]], [y[0], 1]]), jacobian
    rest = np.sqrt((1 - y[0] ** 2) * (1 - y[1] ** 2))
    r = (y[0], y[1], y[2] * rest + y[0] * y[1])
    return np.array([[1, r[0], r[1]], [r[0], 1, r[2]], [r[1], r[2], 1]]), jacobian + np.log(rest)


def lkj_constant(size, concentration):
    """Log of the integral of the determinant's power; Lewandowski, Kurowicka and Joe (2009), eq. 16."""
    total = 0.0
    for k in range(1, size):
        b = concentration + (size - k - 1) / 2
        total += (2 * concentration - 2 + size - k) * (size - k) * np.log(2) + (size - k) * special.betaln(b, b)
    return total


@dataclass
class Parameters:
    """What one position means, and its log prior density, Jacobian included."""

    named: dict = field(default_factory=dict)
    log_prior: float = 0.0


def scale_of(block, levels, breaks):
    """A walk's steps are as long as the way between the middles of two periods on the log-time axis."""
    if not block.name.endswith("walk"):
        return np.ones(len(block.scale))
    middles = [(a + b) / 2 for a, b in itertools.pairwise(breaks)]
    steps = [math.sqrt(math.log(b / a)) for a, b in itertools.pairwise(middles)]
    return np.array(steps * (1 if block.name == "walk" else levels))


def parameters(problem, position, breaks):
    """Translate a position by hand (eq. 5 to 7), and sum the priors of all parts."""
    structure, centring = problem.structure, problem.density.centring
    layout = structure.layout
    n_free = sum(k * (k - 1) // 2 for k in (len(b.terms) for b in layout.blocks))
    n_sd = sum(len(b.terms) for b in layout.blocks) + bool(layout.frailty)
    n_fixed = sum(layout.fixed.values())
    level, soft, free, z = np.split(position, np.cumsum([n_fixed, n_sd, n_free]))
    sd = centring.knee * np.log1p(np.exp(soft))
    found = Parameters(log_prior=np.sum(np.log(centring.knee) - np.log1p(np.exp(-soft))))
    random, at, at_sd, at_free, n_vectors = [], 0, 0, 0, 0
    for block in layout.blocks:
        n, q = len(block.scale), len(block.terms)
        own_z, own_sd = z[at : at + n * q], sd[at_sd : at_sd + q]
        levels = len(structure.groups[block.name[:-5]].labels) if block.name.endswith("_walk") else n
        if q == 1:
            some = slice(at, at + n)
            spread = np.sqrt(1 + centring.information[some] * own_sd**2)
            found.log_prior += stats.norm.logpdf(own_z, 0, spread).sum()
            scale = scale_of(block, levels, breaks)
            random.append(scale * (centring.rotation[some, some] @ (own_sd / spread * own_z)))
        else:
            own_free = free[at_free : at_free + q * (q - 1) // 2]
            effects, value = vector_block(centring.vectors[n_vectors], own_sd, own_free, own_z.reshape(n, q))
            correlation, jacobian = correlation_matrix(own_free)
            eta = problem.priors[f"{block.name}_correlation"].concentration
            lkj = (eta - 1) * np.log(np.linalg.det(correlation)) - lkj_constant(q, eta) + jacobian
            found.log_prior += value + lkj
            found.named[f"{block.name}_correlation"] = correlation[np.tril_indices(q, -1)]
            random.append(effects.ravel())
            at_free, n_vectors = at_free + q * (q - 1) // 2, n_vectors + 1
        found.log_prior += log_prior(problem.priors[f"{block.name}_sd"], own_sd)
        found.named[f"{block.name}_sd"] = own_sd if q > 1 else own_sd[0]
        found.named[block.name] = values_of(block.name, random[-1], levels).reshape(-1, q)
        at, at_sd = at + n * q, at_sd + q
    if layout.frailty:
        found.named["frailty_sd"] = sd[-1]
        found.log_prior += log_prior(problem.priors["frailty_sd"], sd[-1])
    fixed = level - centring.shear @ np.concatenate([np.zeros(0), *random])
    for name, some in zip(layout.fixed, np.split(fixed, np.cumsum(list(layout.fixed.values()))[:-1]), strict=True):
        found.named[name] = some if name == "coef" else some[0]
        found.log_prior += log_prior(problem.priors[name], some)
    return found


def vector_block(centring, sd, free, z):
    """Effects of a block of several terms, level by level, and the log density of z."""
    covariance = np.outer(sd, sd) * correlation_matrix(free)[0]
    along, total = [], 0.0
    for one, information in zip(z, centring.information, strict=True):
        root = np.linalg.cholesky(np.linalg.inv(covariance) + information)
        along.append(np.linalg.solve(root.T, one))
        total += stats.multivariate_normal.logpdf(along[-1], np.zeros(len(sd)), covariance)
        total -= np.log(np.diag(root)).sum()
    return centring.rotation @ np.array(along), total


class Hazards:
    """Log hazard of rows ``(codes, period)`` of a schema, from parameters by name."""

    def __init__(self, problem, schema, codes, period):
        self.period = period
        self.levels = {column.name: np.array(column.labels)[codes[:, k]] for k, column in enumerate(schema.columns)}
        coords = problem.structure.coords()
        self.terms = np.array([self.indicator(label) for label in coords["term"]]).reshape(-1, len(codes))
        self.groups = {}
        for name, group in problem.structure.groups.items():
            here = self.level_of(name)
            position = np.array([list(coords[name]).index(level) for level in here])
            slopes = [np.ones(len(codes)) if label == "1" else self.indicator(label) for label in group.terms]
            self.groups[name] = (position, np.array(slopes).T)
        if problem.structure.months:
            months = self.levels[schema.columns[-1].name]
            self.month = np.array([list(coords["calendar_month"]).index(m) for m in months])
            self.season = np.array([int(m[5:7]) - 1 for m in months])

    def indicator(self, label):
        parts = re.findall(r"([^\[\]:]+)\[([^\]]*)\]", label)
        return np.prod([self.levels[name] == level for name, level in parts], axis=0, dtype=float)

    def level_of(self, name):
        return [":".join(parts) for parts in zip(*(self.levels[part] for part in name.split(":")), strict=True)]

    def log(self, named):
        total = named.get("intercept", 0.0) + np.zeros(len(self.period))
        if len(self.terms):
            total = total + named["coef"] @ self.terms
        if "walk" in named:
            total = total + named["walk"][self.period, 0]
        for name, (position, slopes) in self.groups.items():
            if f"{name}_effect" in named:
                total = total + np.sum(named[f"{name}_effect"][position] * slopes, axis=1)
            if f"{name}_walk" in named:
                walks = named[f"{name}_walk"].reshape(position.max() + 1, -1)
                total = total + walks[position, self.period]
        if "month" in named:
            total = total + named["month"][self.month, 0]
        if "season" in named:
            total = total + named["season"][self.season, 0]
        return total


def cells_log_likelihood(table, log_hazard):
    """Cell by cell; every cell is a Poisson count."""
    mean = table.exposure * np.exp(log_hazard)
    return float(stats.poisson.logpmf(table.n_events[:, 0], mean).sum())


@dataclass
class Customer:
    """Spells of one customer: cumulative hazard, that before entry, and whether each ended with an event."""

    hazard: list
    before: list
    event: list
    followed: list


class Customers:
    """Likelihood of stretches, customer by customer.

    Parameters
    ----------
    problem : Problem
        Its structure is looked at for names.
    schema : CellSchema
        Breaks, columns.
    stretches : list of Stretch
        All of them, in order.
    """

    def __init__(self, problem, schema, stretches):
        self.immune, self.cured = schema.churn.on_tenure, problem.structure.cured
        rows, self.spells, last = [], {}, {}
        for s in stretches:
            last[s.owner] = max(s.spell, last.get(s.owner, 0))
            spell = self.spells.setdefault(
                (s.owner, s.spell), {"rows": [], "before": [], "event": [], "followed": False}
            )
            if not spell["rows"]:
                for period, days in s.before(schema.breaks):
                    spell["before"].append((len(rows), days))
                    rows.append((s.codes, period))
            for period, days, event in s.pieces(schema.breaks):
                spell["rows"].append((len(rows), days))
                spell["event"] += [len(rows)] * event
                rows.append((s.codes, period))
        for (owner, k), spell in self.spells.items():
            spell["followed"] = k < last[owner]
        self.hazards = Hazards(problem, schema, np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))

    def units(self, named):
        """Customers, and the sum of the log hazards at events."""
        log = self.hazards.log(named)
        rate = np.exp(log)
        units, total = {}, 0.0
        for (owner, _), spell in self.spells.items():
            one = units.setdefault(owner, Customer([], [], [], []))
            if spell["rows"]:
                one.hazard.append(sum(rate[k] * days for k, days in spell["rows"]))
                one.before.append(sum(rate[k] * days for k, days in spell["before"]))
                one.event.append(len(spell["event"]))
                one.followed.append(spell["followed"])
                total += sum(log[k] for k in spell["event"])
        return [one for one in units.values() if one.hazard], total

    def log_likelihood(self, named, *, quadrature):
        theta = named["frailty_sd"] ** 2 if "frailty_sd" in named else None
        share = special.expit(named["cure_logit"]) if self.cured else 0.0
        mean = mean_by_quadrature if quadrature else mean_by_gamma_functions
        units, total = self.units(named)
        for one in units:
            chance, entry = (immune_customer if self.immune else returning_customer)(one, share)
            total += np.log(mean(chance, theta)) - np.log(mean(entry, theta))
        return total


class Contracts:
    """Likelihood of stretches, one to a customer, under a hazard in continuous time.

    Parameters
    ----------
    problem : Problem
        Its structure is looked at for names.
    schema : CellSchema
        Columns.
    stretches : list of Stretch
        One spell of each customer.
    baseline : {"weibull", "lognormal"}
        SciPy's distribution of the same name.
    rounded : float or None
        Days within which the time of an event is known.
    """

    def __init__(self, problem, schema, stretches, baseline, rounded=None):
        self.baseline, self.rounded, self.cured = baseline, rounded, problem.structure.cured
        self.start, self.stop = (np.array([getattr(s, name) for s in stretches]) for name in ("start", "stop"))
        self.event = np.array([s.event for s in stretches])
        self.scale = np.exp(np.mean(np.log(self.stop[self.event])))
        codes = np.array([s.codes for s in stretches])
        self.hazards = Hazards(problem, schema, codes, np.zeros(len(codes), int))

    def law(self, named):
        """Time to the event of each customer at average effects."""
        names = ("log_shape",) if self.baseline == "weibull" else ("location", "log_spread")
        shape = [named[name] + np.zeros(len(self.stop)) for name in names]
        if "country_shape" in named:
            shape[-1] = shape[-1] + named["country_shape"][self.hazards.groups["country"][0], 0]
        if self.baseline == "weibull":
            return stats.weibull_min(np.exp(shape[0]), scale=self.scale)
        return stats.lognorm(np.exp(shape[1]), scale=self.scale * np.exp(shape[0]))

    def log_likelihood(self, named, *, quadrature):
        theta = named["frailty_sd"] ** 2 if "frailty_sd" in named else None
        share = special.expit(named["cure_logit"]) if self.cured else 0.0
        mean = mean_by_quadrature if quadrature else mean_by_gamma_functions
        law, eta = self.law(named), self.hazards.log(named)
        sure = np.maximum(self.start, self.stop - (self.rounded or 0.0) * self.event)
        before, known, whole = (-np.exp(eta) * law.logsf(at) for at in (self.start, sure, self.stop))
        log_hazard = eta + law.logpdf(self.stop) - law.logsf(self.stop)
        total = 0.0
        for k, event in enumerate(self.event):
            if event and self.rounded:
                chance = [(1 - share, 0, known[k]), (share - 1, 0, whole[k])]
            elif event:
                chance = [(1 - share, 1, whole[k])]
                total += log_hazard[k]
            else:
                chance = [(1 - share, 0, whole[k]), (share, 0, 0.0)]
            total += np.log(mean(chance, theta)) - np.log(mean([(share, 0, 0.0), (1 - share, 0, before[k])], theta))
        return total


def returning_customer(one, share):
    """What happens given her frailty, as a sum of ``weight z^d exp(-z H)``: after each activity she leaves for good, or not."""
    last = len(one.hazard) - 1
    known = sum(e or f for e, f in zip(one.event, one.followed, strict=True))
    d, total = sum(one.event), sum(one.hazard) + sum(one.before)
    weight = (1 - share) ** known
    if one.event[last] or one.followed[last]:
        chance = [(weight, d, total)]
    else:
        chance = [(weight * share, d, total - one.hazard[last]), (weight * (1 - share), d, total)]
    return chance, [(1.0, 0, sum(one.before))]


def immune_customer(one, share):
    """She is immune from birth, or not; entry was reached either way."""
    d, before = sum(one.event), sum(one.before)
    chance = [(1 - share, d, sum(one.hazard) + before)] + [(share, 0, 0.0)] * (d == 0)
    return chance, [(share, 0, 0.0), (1 - share, 0, before)]


def mean_by_gamma_functions(terms, theta):
    """Expectation over the frailty, by SciPy's log-gamma."""
    if theta is None:
        return sum(w * np.exp(-h) for w, _, h in terms)
    a = 1 / theta
    return sum(
        w * np.exp(special.gammaln(a + d) - special.gammaln(a) + a * np.log(a) - (a + d) * np.log(a + h))
        for w, d, h in terms
    )


def mean_by_quadrature(terms, theta):
    """The same by an integral over the frailty."""
    if theta is None:
        return mean_by_gamma_functions(terms, theta)
    a = 1 / theta
    constant = a * math.log(a) - math.lgamma(a)

    def integrand(x):
        """In the log of the frailty."""
        z = math.exp(x)
        return sum(w * math.exp(constant + (a + d) * x - (a + h) * z) for w, d, h in terms)

    return integrate.quad(integrand, -60, 6, epsabs=0, epsrel=1e-10, limit=300, points=[-5, -2, 0, 1.5])[0]
