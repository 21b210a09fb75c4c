"""Attempts to break an effect: a cause that cannot be one, a common cause that is none, half of the customers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice, check_count, check_rng
from churnsurv.causes.nodes import COIN, OUTCOME, Node
from churnsurv.errors import IdentificationError, ModelSupportError
from churnsurv.tables.features import Baseline

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.effects import Effect
    from churnsurv.causes.fit import CauseFit
    from churnsurv.causes.rows import CauseRows

Progress = Callable[[float, str], None]

KINDS = ("placebo cause", COIN, "half of the customers")
_DRAWS = 200
_LEANING = 0.25
_WIDE = 3.0
"""Standard errors between the average of the repetitions and what it should be that nobody puts down to chance."""


@dataclass(frozen=True, eq=False)
class Refutation:
    """What became of an effect when the question was spoilt on purpose.

    Parameters
    ----------
    kind : {"placebo cause", "random common cause", "half of the customers"}
        How.
    expected : float
        Avoided churns per thousand that an honest estimate gives then: 0 for a placebo, the effect itself otherwise.
    estimates, spreads : array of shape (n_repeats,)
        Posterior mean and standard deviation of each repetition.
    effect_sd : float
        Posterior standard deviation of the effect itself.
    """

    kind: str
    expected: float
    estimates: FloatArray
    spreads: FloatArray
    effect_sd: float

    @property
    def z(self) -> float:
        """Distance of the average from what is expected, in standard errors.

        Repetitions of a placebo are independent but for the customers they share. A half differs from the whole by about the
        whole's own standard deviation, and ten halves on average by a third of it; a quarter more is allowed for, since half
        the data lean more on their prior.
        """
        if self.kind == KINDS[0]:
            error = max(float(self.estimates.std(ddof=1)), float(self.spreads.mean())) / np.sqrt(len(self.estimates))
        else:
            error = self.effect_sd * float(np.sqrt(1.0 / len(self.estimates) + _LEANING**2))
        return float((self.estimates.mean() - self.expected) / error)

    @property
    def passed(self) -> bool:
        """Whether the average lies within three standard errors of what is expected."""
        return abs(self.z) < _WIDE

    def sentence(self) -> str:
        """The verdict in words."""
        told = {
            KINDS[0]: "with the cause shuffled among customers who are alike, nothing should be left",
            COIN: "with one more common cause, drawn at random, nothing should change",
            KINDS[2]: "on random halves of the customers, the same should come out",
        }[self.kind]
        verdict = "it did" if self.passed else "it did NOT: do not trust the effect"
        low, high = self.estimates.min(), self.estimates.max()
        return (
            f"{self.kind}: {told}; {self.expected:.0f} of 1,000 expected, {self.estimates.mean():.0f} found on average of"
            f" {len(self.estimates)} ({low:.0f} to {high:.0f}): {verdict}."
        )

    def __repr__(self) -> str:
        """The sentence."""
        return f"Refutation({self.sentence()})"


@dataclass(frozen=True, eq=False)
class Refutations:
    """All attempts on one effect."""

    attempts: tuple[Refutation, ...]

    @property
    def passed(self) -> bool:
        """Whether the effect survived all of them: no proof, one doubt less."""
        return all(attempt.passed for attempt in self.attempts)

    def frame(self) -> pd.DataFrame:
        """One row per attempt: ``kind, expected, found, lowest, highest, z, passed``, in avoided churns per thousand."""
        import pandas as pd

        rows = [
            (a.kind, a.expected, a.estimates.mean(), a.estimates.min(), a.estimates.max(), a.z, a.passed)
            for a in self.attempts
        ]
        return pd.DataFrame(rows, columns=["kind", "expected", "found", "lowest", "highest", "z", "passed"])

    def __repr__(self) -> str:
        """One sentence per attempt."""
        return "\n".join(attempt.sentence() for attempt in self.attempts)


def refute_effect(
    fit: CauseFit,
    effect: Effect,
    *,
    kinds: Iterable[str] = KINDS,
    n_repeats: int = 10,
    rng: int | np.random.Generator = 0,
    progress: Progress | None = None,
) -> Refutations:
    """Try to break an effect in three ways (after [1]_).

    *Placebo cause*: the cause is shuffled among spells that are alike in what is adjusted for; its effect must vanish.
    *Random common cause*: a coin is added that is drawn as a cause of both; the effect must stay. *Half of the customers*:
    the effect is estimated anew on random halves; it must stay. Passing proves nothing about causes that nobody measured:
    for those see :func:`~churnsurv.causes.confounding.e_value`.

    Cost: one fit with 200 draws for each repetition.

    Parameters
    ----------
    fit : CauseFit
        The network.
    effect : Effect
        An identified effect of a node known at the opening.
    kinds : iterable of str
        Which attempts.
    n_repeats : int
        Repetitions of each, >= 2.
    rng : int or numpy.random.Generator
        Source of randomness.
    progress : callable, optional
        Called with the share done and a sentence.

    Raises
    ------
    IdentificationError
        If the effect is not identified: there is nothing to refute.
    ModelSupportError
        If the cause moves while the customer is at risk.

    References
    ----------
    .. [1] Sharma, A. and Kiciman, E. (2020). DoWhy: An end-to-end library for causal inference. *arXiv:2011.04216*,
       section 3.4.
    """
    wanted = [check_choice(kind, "kinds", KINDS) for kind in kinds]
    check_count(n_repeats, "n_repeats", minimum=2)
    if not effect.identification.identified:
        raise IdentificationError(
            f"the effect of {effect.cause} is {effect.label}: there is no estimate to refute.",
            hint="measure what opens the path, or look at the association with care.",
        )
    if fit.rows.nodes[fit.rows.position(effect.cause)].moves:
        raise ModelSupportError(
            f"{effect.cause} moves while the customer is at risk; shuffled, it would arrive at impossible times.",
            hint="refute effects of nodes known at the opening.",
        )
    streams = check_rng(rng).spawn(len(wanted) * n_repeats)
    draws = effect.draws("avoided_per_thousand")[:, 0]
    attempts = []
    for a, kind in enumerate(wanted):
        found = []
        for r in range(n_repeats):
            if progress is not None:
                progress((a * n_repeats + r) / (len(wanted) * n_repeats), kind)
            found.append(_attempt(fit, effect, kind, streams[a * n_repeats + r]))
        estimates, spreads = np.array(found).T
        expected = 0.0 if kind == KINDS[0] else float(draws.mean())
        attempts.append(Refutation(kind, expected, estimates, spreads, float(draws.std())))
    return Refutations(tuple(attempts))


def _attempt(fit: CauseFit, effect: Effect, kind: str, rng: np.random.Generator) -> tuple[float, float]:
    network, rows = fit.network, fit.rows
    if kind == KINDS[0]:
        rows = _shuffled(rows, effect.cause, effect.identification.adjustment_set or (), rng)
    elif kind == COIN:
        rows, network = _with_coin(fit, effect.cause, rng)
    else:
        chosen = rng.permutation(rows.n_customers) < rows.n_customers // 2
        rows = rows.take(chosen[rows.customer])
    anew = network.fit(rows, n_draws=_DRAWS, rng=rng)
    to, versus = effect.settings
    draws = anew.effect(effect.cause, to, versus, horizon=effect.horizon, given=effect.given).draws(
        "avoided_per_thousand"
    )
    return float(draws[:, 0].mean()), float(draws[:, 0].std())


def _shuffled(rows: CauseRows, cause: str, adjust: Sequence[str], rng: np.random.Generator) -> CauseRows:
    """The cause's states dealt out anew among spells that are alike in what is adjusted for."""
    stretch = np.cumsum(rows.begins) - 1
    first = np.flatnonzero(rows.begins)
    key = rows.configuration(adjust, first)
    k = rows.position(cause)
    own = rows.codes[first, k]
    dealt = own.copy()
    # A stable sort by stratum, then by chance within it, lines up two orders of the same strata.
    order, mixed = np.argsort(key, kind="stable"), np.lexsort((rng.random(len(first)), key))
    dealt[order] = own[mixed]
    codes = rows.codes.copy()
    codes[:, k] = dealt[stretch]
    return replace(rows, codes=codes)


def _with_coin(fit: CauseFit, cause: str, rng: np.random.Generator) -> tuple[CauseRows, Any]:
    """Rows and network with one more node, a coin thrown for each stretch, that is drawn as a cause of both."""
    rows, network = fit.rows, fit.network
    stretch = np.cumsum(rows.begins) - 1
    coin = rng.integers(0, 2, int(stretch[-1]) + 1).astype(np.int16)[stretch]
    node = Node(COIN, Baseline(COIN), levels={"heads": ["heads"], "tails": ["tails"]})
    more = replace(
        rows,
        nodes=(*rows.nodes, node),
        states=(*rows.states, ("heads", "tails")),
        codes=np.column_stack([rows.codes, coin]),
    )
    edges = [*network.dag.edges, (COIN, cause), (COIN, OUTCOME)]
    return more, network.redrawn([*network.nodes, node], edges)
