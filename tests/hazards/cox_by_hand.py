"""The partial likelihood and everything derived from it, spelt out: O(rows × events), NumPy only.

Each event time has one *step* per event (Efron) or one for all (Breslow). In a step, every row counts with a
share: 1 at risk, 0 not, ``1 - l/d`` for those who have the event then (Therneau and Grambsch 2000, section 3.3 and
appendix E). Whatever the library computes in one pass is here a sum over steps.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


def steps_of(start, stop, event, weight, strata, ties):
    """All steps: stratum, time, share of each row, events, mean weight of the events."""
    found = []
    for stratum in np.unique(strata):
        inside = strata == stratum
        for time in np.unique(stop[inside & event]):
            at_risk = inside & (start < time) & (stop >= time)
            dead = inside & event & (stop == time)
            d = int(dead.sum())
            n_steps = d if ties == "efron" else 1
            for step in range(n_steps):
                share = np.where(dead, 1 - step / n_steps, 1.0) * at_risk
                found.append((stratum, time, share, dead, weight[dead].sum() / n_steps, 1 / n_steps))
    return found


def by_hand(start, stop, event, x, coef, *, weight=None, strata=None, ties="efron"):
    n = len(stop)
    start = np.zeros(n) - 1.0 if start is None else np.asarray(start, float)
    stop, event, x = np.asarray(stop, float), np.asarray(event, bool), np.asarray(x, float)
    weight = np.ones(n) if weight is None else np.asarray(weight, float)
    strata = np.zeros(n, int) if strata is None else np.asarray(strata)
    eta = x @ coef
    p = x.shape[1]
    out = SimpleNamespace(
        loglik=float((weight * eta)[event].sum()), score=(weight[:, None] * x)[event].sum(0), information=np.zeros((p, p)),
        martingale=event.astype(float), score_residuals=np.zeros((n, p)), baseline={}, mean_x_dead=np.zeros((n, p)),
        step_score=[], step_information=[], step_time=[],
    )  # fmt: skip
    for stratum, time, share, dead, mean_weight, part in steps_of(start, stop, event, weight, strata, ties):
        risk = np.exp(eta) * share
        total = (weight * risk).sum()
        mean = (weight * risk) @ x / total
        away = x - mean
        variance = (away.T * (weight * risk)) @ away / total
        increment = mean_weight / total
        out.loglik -= mean_weight * np.log(total)
        out.score -= mean_weight * mean
        out.information += mean_weight * variance
        out.martingale -= risk * increment
        out.score_residuals += (part * dead - risk * increment)[:, None] * away
        out.mean_x_dead[dead] += part * mean
        out.step_score.append(part * (weight * dead) @ away)
        out.step_information.append(mean_weight * variance)
        out.step_time.append(time)
        at = out.baseline.setdefault(
            (stratum, time), [0.0, 0.0, np.zeros(p), (weight * (share > 0)).sum(), weight[dead].sum()]
        )
        at[0] += increment
        at[1] += increment / total
        at[2] += increment * mean
    out.schoenfeld = x[event] - out.mean_x_dead[event]
    return out
