"""Kaplan–Meier curves of several groups side by side, each with a band, and the test of their equality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from churnsurv._typing import FloatArray
from churnsurv._validate import check_choice, check_ci_prob
from churnsurv.errors import ArgumentError, EmptyDataError
from churnsurv.hazards.bands import BandKind, SurvivalBand
from churnsurv.hazards.curves import KaplanMeier
from churnsurv.hazards.groups import Label, group_spells
from churnsurv.hazards.intervals import BandTransform, SurvivalInterval
from churnsurv.hazards.log_rank import WEIGHTINGS, LogRankTest, Weighting, compare_hazards, fleming_harrington
from churnsurv.hazards.nonparametric import estimate_survival, warn_emptied
from churnsurv.hazards.risk_sets import check_spells, risk_sets


@dataclass(frozen=True, eq=False, repr=False)
class SurvivalComparison:
    """Curves of several groups, a simultaneous band for each, and a test.

    Made by :func:`compare_survival`.

    Parameters
    ----------
    groups : tuple of labels
        The groups, sorted.
    curves : tuple of KaplanMeier
        One per group, with pointwise bounds.
    bands : tuple of SurvivalBand
        One per group.
    test : LogRankTest
        Whether the groups share one hazard.
    """

    groups: tuple[Label, ...]
    curves: tuple[KaplanMeier, ...]
    bands: tuple[SurvivalBand, ...]
    test: LogRankTest

    def __repr__(self) -> str:
        """Return one line."""
        medians = ", ".join(f"{g}={c.median():g}" for g, c in zip(self.groups, self.curves, strict=True))
        return f"SurvivalComparison(medians {medians}; {self.test!r})"

    def __getitem__(self, group: Label) -> KaplanMeier:
        """Curve of one group."""
        if group not in self.groups:
            raise ArgumentError(
                f"there is no group {group!r}.",
                column="group",
                hint=f"the groups are {', '.join(map(repr, self.groups))}.",
            )
        return self.curves[self.groups.index(group)]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Columns of a long table, one row per group and step of its band; ``pandas.DataFrame`` takes them."""
        parts = [band.columns() for band in self.bands]
        lengths = [len(band.times) for band in self.bands]
        label = np.repeat(np.array(self.groups, dtype=object), lengths)
        return {"group": label, **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}}


def _refuse_single(groups: tuple[Label, ...], n_spells: FloatArray) -> None:
    single = [label for label, n in zip(groups, n_spells.tolist(), strict=True) if n <= 1]
    if single:
        raise EmptyDataError(
            f"{len(single):,} of {len(groups):,} groups have 1 spell only.",
            rows=[{"group": label} for label in single[:5]],
            count=len(single),
            total=len(groups),
            consequence="A curve from one spell says nothing about any other, and has no standard error.",
            hint="pool such groups with others, or leave them out and say so.",
        )


def compare_survival(
    exit: object,
    event: object,
    group: object,
    *,
    entry: object = None,
    weight: object = None,
    strata: object = None,
    ci_prob: float = 0.90,
    ci_kind: SurvivalInterval = "log-log",
    band: BandKind = "equal-precision",
    transform: BandTransform = "log-log",
    time_range: tuple[float, float] | None = None,
    joint: bool = False,
    weighting: Weighting = "log-rank",
    rho: float | None = None,
    gamma: float | None = None,
) -> SurvivalComparison:
    """Kaplan–Meier curve of every group with a simultaneous band, and the test of their equality.

    Two bands that do not overlap somewhere say that the curves differ there. Bands that overlap say
    nothing: the test is sharper.

    Parameters
    ----------
    exit, event, entry, weight
        As in :func:`kaplan_meier`; weights are whole numbers.
    group : array-like of shape (n_spells,)
        Label of each spell's group; at least two differ.
    strata : array-like of shape (n_spells,), optional
        Labels; the test compares groups within a stratum. The curves are those of whole groups.
    ci_prob : float
        Probability of the pointwise bounds, and of each band.
    ci_kind : {"log-log", "log", "plain"}
        Scale of the pointwise bounds.
    band, transform, time_range
        As in :meth:`KaplanMeier.band`: ``kind``, ``transform`` and ``time_range``. Without a range each
        group's band runs from its first event to its last before 0.
    joint : bool
        If true, *all* bands hold at once with probability ``ci_prob``: each has ``ci_prob ** (1 / n_groups)``,
        exact because groups share no customer.
    weighting, rho, gamma
        As in :func:`log_rank_test`.

    Returns
    -------
    SurvivalComparison
        Curves, bands and test.

    Raises
    ------
    ArgumentError, MissingValueError, NonFiniteError, DataTypeError
        As :func:`log_rank_test`.
    EmptyDataError
        If a group has fewer than two spells, or no event happened while two groups were at risk.
    HorizonError
        If the range leaves what is known of one group.

    Warns
    -----
    DataWarning
        If late entries leave a group an early risk set in which everybody has the event.

    Examples
    --------
    >>> found = compare_survival([1, 2, 3, 4, 3, 5, 6, 8], [1, 1, 1, 0, 1, 1, 0, 1], list("aaaabbbb"))
    >>> found.groups, found["b"].median()
    (('a', 'b'), 5.0)
    >>> found.test
    LogRankTest(log-rank, 2 groups, chi-square=2.32 on 1 df, p=0.128)
    """
    prob = check_ci_prob(ci_prob)
    scale = cast(SurvivalInterval, check_choice(ci_kind, "ci_kind", ("log-log", "log", "plain")))
    kind = cast(Weighting, check_choice(weighting, "weighting", WEIGHTINGS))
    exponents = fleming_harrington(kind, rho, gamma)
    spells = check_spells(exit, event, entry=entry, weight=weight)
    grouped = group_spells(spells, group, strata)
    test = compare_hazards(grouped, kind, exponents)
    _refuse_single(grouped.groups, test.n_spells)
    curves = []
    for position in range(len(grouped.groups)):
        part = grouped.part(position)
        sets = risk_sets(part)
        warn_emptied(sets)
        curves.append(estimate_survival(part, sets, prob, scale))
    each = prob ** (1 / len(curves)) if joint else prob
    bands = [curve.band(band, time_range=time_range, ci_prob=each, transform=transform) for curve in curves]
    return SurvivalComparison(grouped.groups, tuple(curves), tuple(bands), test)
