"""Networks for other libraries."""

from __future__ import annotations

import importlib
from typing import Any

from churnsurv.causes.inference.discrete_network import DiscreteNetwork
from churnsurv.errors import ModelSupportError


def to_pgmpy(network: DiscreteNetwork) -> Any:
    """Give a network to pgmpy.

    Parameters
    ----------
    network : DiscreteNetwork
        Network. Of posterior draws the mean of each table is given, divided by its sum: pgmpy knows no uncertainty.

    Returns
    -------
    pgmpy.models.DiscreteBayesianNetwork
        The same nodes, states, edges and tables.

    Raises
    ------
    ModelSupportError
        If pgmpy is not installed.

    Examples
    --------
    >>> network = DiscreteNetwork(["late"], {"late": ("no", "yes")}, {}, {"late": [0.8, 0.2]})
    >>> to_pgmpy(network).get_cpds("late").get_values().ravel()
    array([0.8, 0.2])
    """
    try:
        models = importlib.import_module("pgmpy.models")
        factors = importlib.import_module("pgmpy.factors.discrete")
    except ImportError as error:
        raise ModelSupportError(
            f"pgmpy is not installed: {error}.", hint="pip install pgmpy, or write_bif(network) for any other program."
        ) from error
    point = network.mean()
    given = models.DiscreteBayesianNetwork()
    given.add_nodes_from(point.names)
    given.add_edges_from([(parent, node) for node in point.names for parent in point.parents[node]])
    for node in point.names:
        own, above = point.states[node], point.parents[node]
        table = factors.TabularCPD(
            node,
            len(own),
            point.cpts[node][0].reshape(-1, len(own)).T,
            evidence=list(above) or None,
            evidence_card=[len(point.states[parent]) for parent in above] or None,
            state_names={name: list(point.states[name]) for name in (node, *above)},
        )
        given.add_cpds(table)
    return given
