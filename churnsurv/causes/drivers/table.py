"""What each column adds to each customer's hazard: the table, its strongest rows, and the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from churnsurv._typing import BoolArray, FloatArray, StrArray
from churnsurv._validate import check_count
from churnsurv.tables.churn import Silence
from churnsurv.tables.schema import CellSchema

if TYPE_CHECKING:
    import pandas as pd

PROBABILITY = "probability of the event in a period"
"""Scale of trees that vote: contributions add up to a probability, and have no ratio."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Contributions:
    """What each term of a model adds to each customer's log hazard, against a baseline.

    Made by :func:`~churnsurv.causes.drivers.contributions.contributions`. The numbers are associations: what the model has seen go
    together. Changing a column of a customer need not change her hazard by as much, or at all.

    Parameters
    ----------
    customer_id : array of str, shape (n,)
        Customers.
    terms : tuple of str
        Terms of the model.
    values : array of str, shape (n, n_terms)
        Level or number of each customer in each term.
    contribution, lower, upper : array of shape (n, n_terms)
        On the scale below, with equal-tailed bounds; NaN where nothing is told.
    whole, whole_lower, whole_upper : array of shape (n,)
        Sum of the terms, with bounds of the sum.
    scale : str
        What contributions add up on.
    event : str
        The event whose hazard it is.
    churn_sign : int
        1 where the event is churn; -1 where it is the return, so that a lower hazard is a higher risk.
    baseline : str
        Whom customers are compared with, in words.
    ci_prob : float
        Probability of the bounds; NaN without any.
    caveats : tuple of str
        What must be read beside every number.
    """

    customer_id: StrArray
    terms: tuple[str, ...]
    values: StrArray
    contribution: FloatArray
    lower: FloatArray
    upper: FloatArray
    whole: FloatArray
    whole_lower: FloatArray
    whole_upper: FloatArray
    scale: str
    event: str
    churn_sign: int
    baseline: str
    ci_prob: float
    caveats: tuple[str, ...] = ()

    ci_kind: ClassVar[str] = "eti"
    label: ClassVar[str] = "associational"

    def __len__(self) -> int:
        """Number of customers."""
        return len(self.customer_id)

    def __repr__(self) -> str:
        """One line."""
        bounds = "without bounds" if np.isnan(self.ci_prob) else f"{self.ci_prob:.0%} intervals"
        return (
            f"{type(self).__name__}({len(self):,} customers, {len(self.terms)} terms on the {self.scale}"
            f" ({self.event}), against {self.baseline}; {bounds}, {self.label})"
        )

    def __str__(self) -> str:
        """The line of ``repr``, and how much each term tells customers apart."""
        told = ~np.isnan(self.contribution).all(axis=1)
        sizes = np.abs(self.contribution[told]).mean(axis=0) if told.any() else np.zeros(len(self.terms))
        order = np.argsort(-sizes, kind="stable")
        lines = [f"  {self.terms[k]}: {sizes[k]:.3f} on average, up or down" for k in order.tolist()]
        return "\n".join([repr(self), *lines, *(f"  {line}" for line in self.caveats)])

    @property
    def raises_churn(self) -> BoolArray:
        """Whether each contribution is one towards churn, shape (n, n_terms); false where nothing is told."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.churn_sign * self.contribution > 0)

    def frame(self) -> pd.DataFrame:
        """One row per customer and term, in the order of the customers and of the model.

        Returns
        -------
        DataFrame
            ``customer_id, term, value`` (level or number, as text), ``contribution, lower, upper`` (on ``scale``),
            ``hazard_ratio`` (exp of the contribution; of classifiers a ratio of odds, NaN on the scale of
            probabilities), ``raises_churn, label``. ``attrs`` hold scale, event, baseline, ``ci_kind``, ``ci_prob`` and caveats.
        """
        return self._rows(np.tile(np.arange(len(self.terms)), (len(self), 1)))

    def top(self, k: int = 3, *, raising: bool = False) -> pd.DataFrame:
        """The strongest terms of each customer, the strongest first.

        Parameters
        ----------
        k : int
            Terms a customer, at most.
        raising : bool
            Only terms that raise the risk of churn.

        Returns
        -------
        DataFrame
            As :meth:`frame`, with ``rank`` (1 the strongest) and ``toward_churn``: the contribution with the sign of the
            risk of churn, positive where it raises it. Terms that add nothing, or of which nothing is told, are left out.

        Raises
        ------
        ArgumentError, DataTypeError
            If ``k`` is no whole number of at least 1.
        """
        check_count(k, "k")
        towards = self.churn_sign * self.contribution
        size = np.nan_to_num(np.where(towards > 0, towards, 0.0) if raising else np.abs(towards))
        order = np.argsort(-size, axis=1, kind="stable")[:, :k]
        frame = self._rows(order)
        frame.insert(2, "rank", np.tile(np.arange(1, order.shape[1] + 1), len(self)))
        frame.insert(7, "toward_churn", np.take_along_axis(towards, order, axis=1).ravel())
        kept = frame[np.take_along_axis(size, order, axis=1).ravel() > 0].reset_index(drop=True)
        kept.attrs = frame.attrs
        return kept

    def total(self) -> pd.DataFrame:
        """Sum of all terms of each customer: how far her log hazard lies from the baseline's.

        Returns
        -------
        DataFrame
            ``customer_id, contribution, lower, upper, hazard_ratio, raises_churn, label``, in the order of the customers.
        """
        whole = replace(
            self,
            terms=("",),
            values=np.full((len(self), 1), "", dtype=object),
            contribution=self.whole[:, None],
            lower=self.whole_lower[:, None],
            upper=self.whole_upper[:, None],
        )
        return Contributions.frame(whole).drop(columns=["term", "value"])

    def _rows(self, place: np.ndarray) -> pd.DataFrame:
        """Some terms of each customer, shape (n, k), as rows."""
        import pandas as pd

        def told(values: np.ndarray) -> np.ndarray:
            return np.take_along_axis(values, place, axis=1).ravel()

        with np.errstate(over="ignore"):  # far from all that was learnt a ratio may be beyond any number
            ratio = np.exp(self.contribution)
        frame = pd.DataFrame(
            {
                "customer_id": np.repeat(self.customer_id, place.shape[1]),
                "term": np.asarray(self.terms, dtype=object)[place.ravel()],
                "value": told(self.values),
                "contribution": told(self.contribution),
                "lower": told(self.lower),
                "upper": told(self.upper),
                "hazard_ratio": told(np.full_like(ratio, np.nan) if self.scale == PROBABILITY else ratio),
                "raises_churn": told(self.raises_churn),
                "label": self.label,
            }
        )
        frame.attrs |= {
            "scale": self.scale,
            "event": self.event,
            "baseline": self.baseline,
            "ci_kind": self.ci_kind,
            "ci_prob": self.ci_prob,
            "caveats": self.caveats,
        }
        return frame

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Customers of several tables of one fit below each other."""
        arrays: dict[str, Any] = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(cls)
            if isinstance(getattr(parts[0], one.name), np.ndarray)
        }
        same: dict[str, Any] = {one.name: getattr(parts[0], one.name) for one in fields(cls) if one.name not in arrays}
        return cls(**same, **arrays)


def churn_sign(schema: CellSchema, cause: str) -> int:
    """Whether a higher hazard is a higher risk of churn (1), or a lower one is (-1): of the return.

    Parameters
    ----------
    schema : CellSchema
        With the definition.
    cause : str
        The cause that counted as the event; empty for the only one.

    Examples
    --------
    >>> schema = CellSchema(Silence(("order",), 90, terminal=("closed",)), (0.0, 90.0), ())
    >>> churn_sign(schema, "return"), churn_sign(schema, "closure")
    (-1, 1)
    """
    is_return = isinstance(schema.churn, Silence) and cause in ("", schema.causes[0])
    return -1 if is_return else 1
