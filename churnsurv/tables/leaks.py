"""Leak audit: a feature computed on a log that ends at a cutoff must not change when the log goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from churnsurv.errors import ArgumentError, LeakError
from churnsurv.tables.covariates import arrivals_of, check_covariates
from churnsurv.tables.engines import literal, quote
from churnsurv.tables.events import EventLog
from churnsurv.tables.features import Feature
from churnsurv.tables.histories import features_at
from churnsurv.tables.spells import SpellTable
from churnsurv.tables.window import moment_of

if TYPE_CHECKING:
    import pandas as pd

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class LeakAudit:
    """What the audit compared.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per cutoff and feature: ``cutoff, feature, n_compared, n_different``.
    rows : tuple of mapping
        Up to five spells whose feature changed.
    """

    table: pd.DataFrame
    rows: tuple[dict[str, object], ...]

    @property
    def passed(self) -> bool:
        """Whether no feature of any spell changed."""
        return not self.rows

    def check(self) -> Self:
        """Return the audit itself, or refuse.

        Raises
        ------
        LeakError
            If some feature knew what had not happened yet.
        """
        if self.passed:
            return self
        bad = self.table[self.table["n_different"] > 0]
        names = ", ".join(sorted(set(bad["feature"])))
        raise LeakError(
            f"{int(bad['n_different'].sum()):,} of {int(self.table['n_compared'].sum()):,} feature values change when"
            f" later events are removed: {names}.",
            rows=self.rows,
            count=int(bad["n_different"].sum()),
            consequence="The model would be judged with knowledge that it will not have when it is used.",
            hint="compute it only from events before its moment, as the declarations in churnsurv do.",
        )


def leak_audit(spells: SpellTable, features: Sequence[Feature], *, n_cutoffs: int = 3) -> LeakAudit:
    """Recompute features on the log truncated at cutoffs inside the window, and compare.

    Parameters
    ----------
    spells : SpellTable
        Spells on the whole log.
    features : sequence of Feature
        Declarations.
    n_cutoffs : int
        How many cutoffs, evenly spread over the window, >= 1.

    Returns
    -------
    LeakAudit
        Every spell that opened before a cutoff is compared; ``.check()`` refuses a difference.
    """
    if isinstance(n_cutoffs, bool) or not isinstance(n_cutoffs, int) or n_cutoffs < 1:
        raise ArgumentError(f"n_cutoffs={n_cutoffs!r} is not a whole number of at least 1.")
    import pandas as pd

    check_covariates(spells, features)
    spells.observed()
    moving = [feature.name for feature in arrivals_of(features)]
    if moving:
        raise ArgumentError(
            f"{moving[0]} arrives while a spell is at risk: it has no single moment to audit.",
            hint="leave it out; it splits the spell at the moment it is known.",
        )
    width = (spells.end_us - spells.start_us) // (n_cutoffs + 1)
    records, rows = [], []
    for k in range(1, n_cutoffs + 1):
        cutoff = spells.start_us + k * width
        for feature in features:
            n, different = _compare(spells, feature, cutoff)
            records.append((f"{moment_of(cutoff):%Y-%m-%d}", feature.name, n, len(different)))
            rows += different
    table = pd.DataFrame(records, columns=["cutoff", "feature", "n_compared", "n_different"])
    return LeakAudit(table, tuple(rows[:5]))


def _compare(spells: SpellTable, feature: Feature, cutoff: int) -> tuple[int, list[dict[str, object]]]:
    engine, log = spells.engine, spells.observed()[0]
    entry = "origin + entry_us - CASE WHEN entry_us > 0 THEN 1 ELSE 0 END"
    moments = f"SELECT id AS key, customer_id, {entry} AS moment FROM {spells.table} WHERE origin + entry_us < {cutoff}"
    n, earlier = int(engine.rows(f"SELECT count(*) FROM ({moments})")[0][0]), spells.churn.on_tenure
    known_then = _truncated(log, cutoff)
    if n == 0 or known_then is None:
        return n, []
    then = features_at(known_then, [feature], moments, spells.start_us, at=spells.opening_kind, earlier=earlier)
    now = features_at(log, [feature], moments, spells.start_us, at=spells.opening_kind, earlier=earlier)
    name = quote(feature.name)
    kind = engine.columns(f"SELECT {name} FROM {quote(now.name)}")[feature.name]
    equal = f"abs(t.{name} - n.{name}) <= {_TOLERANCE}" if kind == "DOUBLE" else f"t.{name} = n.{name}"
    return n, engine.records(
        f"SELECT s.customer_id, s.spell, {literal(feature.name)} AS feature, t.{name} AS known_then, n.{name} AS told_now"
        f" FROM {quote(then.name)} t JOIN {quote(now.name)} n USING (key) JOIN {spells.table} s ON s.id = key"
        f" WHERE NOT coalesce({equal}, t.{name} IS NULL AND n.{name} IS NULL) ORDER BY s.customer_id, s.spell"
    )


def _truncated(log: EventLog, cutoff: int) -> EventLog | None:
    return log.before(moment_of(cutoff)) if log.span[0] < cutoff else None
