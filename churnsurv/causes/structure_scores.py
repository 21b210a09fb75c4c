"""Scores of a node with its parents: how probable its column is if just these are its parents.

Both scores are log marginal likelihoods, so that the score of a whole graph is the sum over its nodes, and the
difference of two graphs is a log Bayes factor in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from churnsurv._typing import FloatArray, IntArray
from churnsurv._validate import as_floats, check_count, plain_array, refuse, same_length
from churnsurv.errors import ArgumentError, DataTypeError, UnknownStateError
from churnsurv.hazards.groups import label_codes

_FEW_CELLS = 4096
"""Tables up to this size are counted as they are: numbering the configurations that were seen needs a sort."""


def _check_codes(codes: object, n_levels: Sequence[int]) -> tuple[IntArray, tuple[int, ...]]:
    table = plain_array(codes, "codes")
    if table.dtype.kind not in "biu":
        raise DataTypeError(
            f"`codes` has type {table.dtype}; states are whole numbers.",
            column="codes",
            hint="number the states of each node 0, 1, … in the order of its levels.",
        )
    levels = tuple(check_count(n, "n_levels") for n in n_levels)
    if table.ndim != 2 or table.shape[1] != len(levels):
        raise ArgumentError(
            f"`codes` has shape {table.shape}, and `n_levels` names {len(levels)} nodes.",
            column="codes",
            hint="pass codes with one row per row of data and one column per node.",
        )
    table = table.astype(np.int64)
    refuse(
        UnknownStateError,
        (table < 0) | (table >= np.array(levels, dtype=np.int64)),
        "are no states of their node.",
        columns={"codes": table, "node": np.broadcast_to(np.arange(table.shape[1]), table.shape)},
        hint="n_levels counts the states of each node; codes run from 0 to one less.",
    )
    return table, levels


def _check_positive(value: object, name: str) -> float:
    number = float(as_floats(value, name, ndim=0))
    if not number > 0:
        raise ArgumentError(f"`{name}`={number:g} is not above 0.", column=name, hint=f"write {name}=1.0.")
    return number


def _check_node(node: object, name: str, n_nodes: int) -> int:
    place = check_count(node, name, minimum=0)
    if place >= n_nodes:
        raise ArgumentError(
            f"`{name}`={place} is no column of {n_nodes}.", column=name, hint=f"columns run from 0 to {n_nodes - 1}."
        )
    return place


def _check_weight(weight: object, n_rows: int) -> FloatArray:
    if weight is None:
        return np.ones(n_rows)
    values = as_floats(weight, "weight", ndim=1)
    same_length({"codes": np.empty(n_rows), "weight": values})
    refuse(
        ArgumentError,
        values <= 0,
        "are not above 0.",
        columns={"weight": values},
        hint="write weight = 1 / rows of the row's customer, or leave it out.",
    )
    return values


def _configuration_counts(
    child: int, parents: tuple[int, ...], codes: IntArray, n_levels: tuple[int, ...], weight: FloatArray
) -> FloatArray:
    """Rows per configuration of the parents and state of the child; configurations without rows may be left out."""
    configuration, n_seen, levels = np.zeros(len(codes), np.int64), 1, n_levels[child]
    for parent in parents:
        configuration, n_seen = configuration * n_levels[parent] + codes[:, parent], n_seen * n_levels[parent]
        if n_seen * levels > max(_FEW_CELLS, 2 * len(codes)):
            distinct, configuration = np.unique(configuration, return_inverse=True)
            n_seen = len(distinct)
    cells = np.bincount(configuration * levels + codes[:, child], weight, n_seen * levels)
    return cells.reshape(n_seen, levels)


def bdeu_score(
    child: int,
    parents: Sequence[int],
    codes: object,
    n_levels: Sequence[int],
    *,
    equivalent_size: float = 1.0,
    weight: object = None,
) -> float:
    r"""Log probability of a node's column given its parents' columns, all tables integrated out.

    .. math:: \sum_j \Bigl[ \log \frac{\Gamma(\alpha / q)}{\Gamma(\alpha / q + N_j)}
              + \sum_k \log \frac{\Gamma(\alpha / (rq) + N_{jk})}{\Gamma(\alpha / (rq))} \Bigr]

    over the q configurations j of the parents and the r states k of the child, with :math:`N_{jk}` rows. Each row of
    the child's table has a Dirichlet distribution, and together the tables are worth :math:`\alpha` rows spread
    evenly (BDeu). Graphs that claim the same independences have the same total: data alone do not turn an edge.
    Configurations that were not seen add 0.

    Rows count as independent. Where customers own several rows the score is too sure of itself; ``weight`` of one over
    the customer's number of rows counts each customer once, which is cautious.

    Parameters
    ----------
    child : int
        Column of the node.
    parents : sequence of int
        Columns of its parents, each once.
    codes : array-like of int, shape (n_rows, n_nodes)
        State of each node in each row, 0 to ``n_levels`` - 1.
    n_levels : sequence of int, length n_nodes
        States of each node, seen or not.
    equivalent_size : float
        :math:`\alpha`, in rows, > 0.
    weight : array-like of shape (n_rows,), optional
        How many rows each row counts for, > 0; fractions are allowed.

    Returns
    -------
    float
        In nats, <= 0 without weights.

    Raises
    ------
    ArgumentError
        If a column is not there or named twice, shapes differ, or a number that must be above 0 is not.
    UnknownStateError
        If a code is no state of its node.
    DataTypeError
        If codes or columns are not whole numbers.

    References
    ----------
    .. [1] Heckerman, D., Geiger, D. and Chickering, D. M. (1995). Learning Bayesian networks: the combination of
       knowledge and statistical data. *Machine Learning*, 20, 197–243 (BDe; BDeu where the prior network is uniform).
    .. [2] Buntine, W. (1991). Theory refinement on Bayesian networks. *UAI*, 52–60.

    Examples
    --------
    One row of a fair-looking coin has probability 1/2:

    >>> round(bdeu_score(0, [], [[1]], [2]) / math.log(0.5), 6)
    1.0
    """
    return BdeuScore(codes, n_levels, equivalent_size=equivalent_size, weight=weight)(child, tuple(parents))


class BdeuScore:
    """BDeu score of any family of one data set, which is checked and counted once.

    Call it with the column of a child and the tuple of its parents' columns; see :func:`bdeu_score`.

    Parameters
    ----------
    codes : array-like of int, shape (n_rows, n_nodes)
        State of each node in each row.
    n_levels : sequence of int, length n_nodes
        States of each node.
    equivalent_size : float
        Rows the prior is worth, > 0.
    weight : array-like of shape (n_rows,), optional
        How many rows each row counts for, > 0.

    Raises
    ------
    ArgumentError, UnknownStateError, DataTypeError
        As :func:`bdeu_score`.

    Examples
    --------
    >>> score = BdeuScore([[0, 0], [1, 1], [1, 1], [0, 0]], [2, 2])
    >>> score(1, (0,)) > score(1, ())
    True
    """

    def __init__(
        self, codes: object, n_levels: Sequence[int], *, equivalent_size: float = 1.0, weight: object = None
    ) -> None:
        table, self.n_levels = _check_codes(codes, n_levels)
        self.n_rows = len(table)
        self.equivalent_size = _check_positive(equivalent_size, "equivalent_size")
        self._patterns, pattern = np.unique(table, axis=0, return_inverse=True)
        self._weight = np.bincount(pattern, _check_weight(weight, len(table)), len(self._patterns))

    def __repr__(self) -> str:
        """Return one line."""
        return f"BdeuScore({self.n_rows:,} rows, {len(self.n_levels)} nodes, equivalent_size={self.equivalent_size:g})"

    def __call__(self, child: int, parents: tuple[int, ...]) -> float:
        """Score of one family, in nats."""
        from scipy.special import gammaln

        node = _check_node(child, "child", len(self.n_levels))
        above = tuple(_check_node(parent, "parents", len(self.n_levels)) for parent in parents)
        if len({node, *above}) <= len(above):
            raise ArgumentError(
                f"`parents`={above} of child {node} name a column twice, or the child itself.",
                column="parents",
                hint="name each parent once.",
            )
        counts = _configuration_counts(node, above, self._patterns, self.n_levels, self._weight)
        per_row = self.equivalent_size / math.prod(self.n_levels[parent] for parent in above)
        cell = per_row / self.n_levels[node]
        within = float(np.sum(gammaln(counts + cell) - gammaln(cell)))
        return within - float(np.sum(gammaln(counts.sum(axis=1) + per_row) - gammaln(per_row)))

    def by_name(self, nodes: Sequence[str]) -> Callable[[str, tuple[str, ...]], float]:
        """Score of a child with its parents by their names, one for each column.

        Parameters
        ----------
        nodes : sequence of str
            Name of each column.

        Returns
        -------
        callable
            ``score(child, parents)``, as :func:`~churnsurv.causes.structure_search.best_structure` takes it.

        Raises
        ------
        ArgumentError
            If there is not one different name for each column.
        """
        place = {name: i for i, name in enumerate(nodes)}
        if len(place) != len(self.n_levels) or len(place) != len(nodes):
            raise ArgumentError(
                f"`nodes` are {len(nodes)} names, {len(place)} of them different, for {len(self.n_levels)} columns.",
                column="nodes",
                hint="write one name for each column of codes.",
            )
        return lambda child, parents: self(place[child], tuple(place[parent] for parent in parents))


def _one_per_stratum(value: object, name: str, stratum: IntArray, first: IntArray) -> FloatArray:
    """Hyperparameter of each stratum, from one number or one per row; above 0 and the same in all its rows."""
    values = np.broadcast_to(_as_row(value, name, len(stratum)), stratum.shape)
    hint = f"write {name}=1.0, or one value per row that is the same for all rows of a stratum."
    refuse(ArgumentError, values <= 0, "are not above 0.", columns={name: values}, hint=hint)
    differs = values != values[first][stratum]
    refuse(ArgumentError, differs, "differ within a stratum.", columns={name: values, "stratum": stratum}, hint=hint)
    return values[first]


def _as_row(value: object, name: str, n_rows: int) -> FloatArray:
    values = as_floats(value, name)
    if values.ndim:
        same_length({"stratum": np.empty(n_rows), name: as_floats(values, name, ndim=1)})
    return values


def hazard_score(events: object, exposure: object, stratum: object, shape: object, rate: object) -> float:
    r"""Log probability of events and exposure if each stratum has a hazard of its own, the hazards integrated out.

    .. math:: \sum_s \bigl[ \log \Gamma(a_s + d_s) - \log \Gamma(a_s) + a_s \log b_s
              - (a_s + d_s) \log (b_s + E_s) \bigr]

    with a gamma distribution of shape a and rate b on each hazard. A stratum is a configuration of the parents of the
    leaf in a period: fewer parents, fewer strata. It is the integral of the density of the times themselves, so that
    scores of different parents may be subtracted; they all see the same times.

    Parameters
    ----------
    events : array-like of shape (n_rows,)
        Events, >= 0.
    exposure : array-like of shape (n_rows,)
        Time at risk, >= 0, in the unit of 1 / hazard.
    stratum : array-like of shape (n_rows,)
        Label of each row's stratum.
    shape, rate : float or array-like of shape (n_rows,)
        Of the gamma distribution, > 0; the same within a stratum. ``rate`` has the unit of ``exposure``, and
        ``shape / rate`` is the hazard expected before looking.

    Returns
    -------
    float
        In nats. It shifts by a constant with the unit of time, the same for all parents.

    Raises
    ------
    ArgumentError
        If lengths differ, a number is negative, or ``shape`` or ``rate`` differs within a stratum.
    EmptyDataError, MissingValueError, NonFiniteError, DataTypeError
        Whatever else is wrong with an argument.

    References
    ----------
    .. [1] Gelman, A. et al. (2013). *Bayesian Data Analysis*, 3rd ed., section 2.6. CRC Press.

    Examples
    --------
    No event in time 1 under a hazard with density exp(-h): the integral of exp(-2h) is 1/2.

    >>> round(hazard_score([0], [1.0], [0], shape=1.0, rate=1.0) / math.log(0.5), 6)
    1.0
    """
    from scipy.special import gammaln

    d, time = as_floats(events, "events", ndim=1), as_floats(exposure, "exposure", ndim=1)
    codes = label_codes(stratum, "stratum")[1]
    same_length({"events": d, "exposure": time, "stratum": codes})
    for name, values in {"events": d, "exposure": time}.items():
        refuse(ArgumentError, values < 0, "are negative.", columns={name: values}, hint=f"{name} is 0 or more.")
    first = np.unique(codes, return_index=True)[1].astype(np.int64)
    a, b = _one_per_stratum(shape, "shape", codes, first), _one_per_stratum(rate, "rate", codes, first)
    total, at_risk = np.bincount(codes, d), np.bincount(codes, time)
    return float(np.sum(gammaln(a + total) - gammaln(a) + a * np.log(b) - (a + total) * np.log(b + at_risk)))
