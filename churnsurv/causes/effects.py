"""Effects of causes on churn: differences and ratios of what would be under two interventions, by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from churnsurv._typing import FloatArray
from churnsurv._validate import check_ci_prob
from churnsurv.causes.nodes import OUTCOME
from churnsurv.causes.positivity import Positivity, count_positivity
from churnsurv.errors import ArgumentError
from churnsurv.tables.features import NONE_YET, NOT_YET

if TYPE_CHECKING:
    import pandas as pd

    from churnsurv.causes.doing import Doing
    from churnsurv.causes.fit import CauseFit, State
    from churnsurv.dag.identification import Identification

MEASURES = ("risk_difference", "risk_ratio", "rmst_difference", "avoided_per_thousand")


@dataclass(frozen=True, eq=False)
class Effect:
    r"""What setting a cause to one state rather than another does to churn, as a posterior.

    With :math:`F_x(h)` the probability of churn within the horizon were the cause set to :math:`x` at every opening:

    .. math:: \text{risk difference } F_{to}(h) - F_{versus}(h), \quad \text{risk ratio } F_{to}(h) / F_{versus}(h), \quad
              \text{RMST difference } \int_0^h S_{to}(t) - S_{versus}(t)\, dt

    and avoided churns per thousand, :math:`1000\,(F_{versus} - F_{to})`: positive is customers kept. S is the probability
    that the event of interest has not happened: of a shop the return, so that a *smaller* RMST is better there.

    Parameters
    ----------
    cause : str
        Node.
    to, versus : str
        States in words; ``as it is`` for no intervention.
    horizon : float
        Days from the opening.
    outcome : str
        What churn means, in words.
    by : str or None
        Node whose states are the segments.
    segments : tuple of str
        ``all`` first, then the states of ``by``.
    identification : Identification
        Of the effect in all; within segments they are adjusted for too.
    identifications : tuple of Identification
        Of each segment.
    churn_to, churn_versus, days_to, days_versus : array of shape (n_draws, n_segments)
        Posterior draws; NaN where not identified.
    association : array of shape (n_draws,) or None
        Risk difference that is no effect: where the effect is identified, between those who happen to be in the states;
        where it is not, what adjusting for observed causes alone would say.
    positivity : tuple of Positivity
        Spells behind both interventions.
    settings : tuple of two
        The settings as they were given, ``None`` for no intervention.
    given : mapping of str to str
        Among whom.
    later : bool
        Whether it starts at a landmark, among those who lasted until then.
    alone : str
        The one way to churn that is asked about, where there are others; empty otherwise.
    """

    cause: str
    to: str
    versus: str
    horizon: float
    outcome: str
    by: str | None
    segments: tuple[str, ...]
    identification: Identification
    identifications: tuple[Identification, ...]
    churn_to: FloatArray
    churn_versus: FloatArray
    days_to: FloatArray
    days_versus: FloatArray
    association: FloatArray | None
    positivity: tuple[Positivity, ...]
    settings: tuple[State, State | None]
    given: Mapping[str, str]
    later: bool = False
    alone: str = ""

    @property
    def label(self) -> str:
        """``identified`` or ``not identified``; from a landmark on ``counterfactual`` where identified."""
        return "counterfactual" if self.later and self.identification.identified else self.identification.status

    def draws(self, measure: str = "risk_difference") -> FloatArray:
        """Posterior draws of a measure, shape (n_draws, n_segments).

        Parameters
        ----------
        measure : {"risk_difference", "risk_ratio", "rmst_difference", "avoided_per_thousand"}
            Which.

        Raises
        ------
        ArgumentError
            If it is none of them.
        """
        if measure == "risk_difference":
            return self.churn_to - self.churn_versus
        if measure == "risk_ratio":
            return self.churn_to / self.churn_versus
        if measure == "rmst_difference":
            return self.days_to - self.days_versus
        if measure == "avoided_per_thousand":
            return 1000.0 * (self.churn_versus - self.churn_to)
        raise ArgumentError(f"measure={measure!r} is unknown.", hint=f"measures are: {', '.join(MEASURES)}.")

    def frame(self, ci_prob: float = 0.90) -> pd.DataFrame:
        """One row per segment and measure: ``segment, measure, mean, lower, upper, probability_positive, label``."""
        import pandas as pd

        tail = (1.0 - check_ci_prob(ci_prob)) / 2.0
        rows = []
        for measure in MEASURES:
            draws = self.draws(measure)
            known = np.isfinite(draws).all(axis=0)
            null = 1.0 if measure == "risk_ratio" else 0.0
            for k, segment in enumerate(self.segments):
                low, high = np.quantile(draws[:, k], [tail, 1 - tail]) if known[k] else (np.nan, np.nan)
                above = float((draws[:, k] > null).mean()) if known[k] else np.nan
                rows.append(
                    (segment, measure, float(draws[:, k].mean()), low, high, above, self.identifications[k].status)
                )
        names = ["segment", "measure", "mean", "lower", "upper", "probability_positive", "label"]
        frame = pd.DataFrame(rows, columns=names)
        place = frame["segment"].map(self.segments.index)
        return frame.iloc[np.argsort(place.to_numpy(), kind="stable")].reset_index(drop=True)

    def _told(self, segment: int) -> str:
        """Label of a segment."""
        found = self.identifications[segment]
        return self.label if found.identified and self.identification.identified else found.status

    def sentence(self, ci_prob: float = 0.90) -> str:
        """The effect in words, with its label."""
        question = f"{self.cause} {self.to} rather than {self.versus}"
        if not self.identification.identified:
            seen = ""
            if self.association is not None:
                points = f"{100 * self.association.mean():+.1f} points"
                seen = f" Adjusting for observed causes alone would say {points}; that is an association."
            return f"{question}: {self.label}. {self.identification.reason}{seen}"
        adjusted = ", ".join(self.identification.adjustment_set or ()) or "nothing"
        thin = "".join(f" {part.sentence()}" for part in self.positivity if part.thin.any())
        label = "Counterfactual, among those who lasted until the landmark" if self.later else "Identified"
        return f"{question}: {self.kept(ci_prob)} ({self.outcome}). {label}, adjusted for {adjusted}.{thin}"

    def kept(self, ci_prob: float = 0.90) -> str:
        """Customers kept of a thousand, in words, or lost where that is what the cause would do."""
        draws = self.draws("avoided_per_thousand")[:, 0]
        low, high = np.quantile(draws, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
        if self.alone:
            more = "fewer" if draws.mean() >= 0 else "more"
            size = np.sort(np.abs([low, high])) if low * high > 0 else [low, high]
            return f"{abs(draws.mean()):.0f} of 1,000 {more} leave by {self.alone}, {size[0]:.0f} to {size[1]:.0f}"
        if draws.mean() >= 0:
            return f"{draws.mean():.0f} of 1,000 customers kept, {low:.0f} to {high:.0f}"
        return f"{-draws.mean():.0f} of 1,000 customers more lost, {-high:.0f} to {-low:.0f}"

    def __repr__(self) -> str:
        """The sentence."""
        return f"Effect({self.sentence()})"


def estimate_effect(
    fit: CauseFit,
    cause: str,
    to: State,
    versus: State | None = None,
    *,
    horizon: float | None = None,
    by: str | None = None,
    given: Mapping[str, str] | None = None,
) -> Effect:
    """Compare churn under two settings of a cause.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    cause : str
        Node that is set.
    to : str or mapping of str to str
        State it is set to, or states that are replaced.
    versus : str or mapping, optional
        What it is compared with; by default nothing is set.
    horizon : float, optional
        Days from the opening; of a shop its silence unless said.
    by : str, optional
        Node whose states are segments; no effect of ``cause``.
    given : mapping of str to str, optional
        Among whom.

    Returns
    -------
    Effect
        With its label and the spells behind it.

    Raises
    ------
    IdentificationError
        If ``by`` or ``given`` name an effect of the cause.
    UnknownStateError
        If a node or state is unknown.
    """
    days = fit.horizon(horizon)
    first, second = fit.do({cause: to}), fit.do({} if versus is None else {cause: versus})
    segments: list[dict[str, str]] = [dict(given or {})]
    if by is not None:
        fit.check_names((by,))
        segments += [{**(given or {}), by: state} for state in fit.states[by]]
    identifications = [first.identify(segment) for segment in segments]
    parts = [
        _pair(first, second, days, segment, found) for segment, found in zip(segments, identifications, strict=True)
    ]
    churn_to, days_to, churn_versus, days_versus = (np.column_stack([part[k] for part in parts]) for k in range(4))
    adjust = tuple(dict.fromkeys([*(identifications[-1].adjustment_set or ()), *(given or {}), *([by] if by else [])]))
    counted = [
        part
        for setting, words in ((first.settings, _words(to)), (second.settings, _words(versus)))
        for part in count_positivity(fit.rows, setting, adjust, f"{cause} = {words}", given=given)
    ]
    return Effect(
        cause=cause,
        to=_words(to),
        versus=_words(versus),
        horizon=days,
        outcome=fit.outcome.format(days),
        by=by,
        segments=("all", *(fit.states[by] if by else ())),
        identification=identifications[0],
        identifications=tuple(identifications),
        churn_to=churn_to,
        churn_versus=churn_versus,
        days_to=days_to,
        days_versus=days_versus,
        association=_association(first, second, days, given),
        positivity=tuple(counted),
        settings=(to, versus),
        given=dict(given or {}),
        later=fit.rows.at_landmarks,
        alone=fit.alone,
    )


def improvements(
    fit: CauseFit, *, horizon: float | None = None, keep: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Effect]:
    """What would change if each cause, one at a time, were as good as it can be.

    The best state of a cause is the one under which fewest churn on average; whoever is in another is put there. Who has no
    state yet (``none yet``, ``not yet``, the ``missing`` of a node) is left alone. The best of several is a little better
    than it is by chance: with many states and few spells look at the intervals.

    Parameters
    ----------
    fit : CauseFit
        A learnt network.
    horizon : float, optional
        Days from the opening; of a shop its silence unless said.
    keep : mapping of str to sequence of str, optional
        Further states that no action changes, such as ``{"wait": ["no ticket"]}``.

    Returns
    -------
    dict of str to Effect
        By cause, for those with a path to churn, the largest first. A cause whose effect is not identified is there, with
        its label, last.
    """
    days, found = fit.horizon(horizon), {}
    for node in fit.network.nodes:
        if node.name not in fit.network.dag.ancestors(OUTCOME):
            continue
        blank = {node.missing or (NOT_YET if node.moves else NONE_YET), *(keep or {}).get(node.name, ())}
        states = [state for state in fit.states[node.name] if state not in blank]
        if len(states) < 2:
            continue
        churn = {
            best: fit.do({node.name: {s: best for s in states if s != best}}).as_if_observed(days, None).mean()
            for best in states
        }
        best = min(churn, key=churn.__getitem__)
        found[node.name] = fit.effect(node.name, {s: best for s in states if s != best}, horizon=days)

    def size(name: str) -> float:
        kept = found[name].draws("avoided_per_thousand")[:, 0].mean()
        return -float(kept) if np.isfinite(kept) else np.inf

    return {name: found[name] for name in sorted(found, key=size)}


def _pair(
    first: Doing, second: Doing, days: float, given: Mapping[str, str], found: Identification
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Churn and days under both settings, from one model."""
    causes = tuple(first.settings)
    churn_to, days_to = first.expected(days, given, found, causes=causes)
    churn_versus, days_versus = second.expected(days, given, found, causes=causes)
    return churn_to, days_to, churn_versus, days_versus


def _association(first: Doing, second: Doing, days: float, given: Mapping[str, str] | None) -> FloatArray | None:
    """Difference between those who happen to be in the states, or what observed causes alone would say."""
    if first.identify(given).status == "not identified":
        return first.as_if_observed(days, given) - second.as_if_observed(days, given)
    to, versus = first.associated(days, given), second.associated(days, given)
    if not second.settings:
        versus = np.asarray(first.fit.query(OUTCOME, dict(given or {}), horizon=days).draws[:, 1])
    return None if to is None or versus is None else to - versus


def _words(state: State | None) -> str:
    if state is None:
        return "as it is"
    if isinstance(state, str):
        return state
    return ", ".join(f"{old} → {new}" for old, new in state.items())
