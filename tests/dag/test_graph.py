"""Graphs: how they are written, what is refused, who is whose ancestor, and paths."""

from __future__ import annotations

import pickle
from itertools import combinations

import numpy as np
import pytest

from churnsurv.dag import Dag, Path
from churnsurv.errors import DataTypeError, GraphError, NetworkSizeError
from tests.dag.oracles import descendants, random_dag

SHOP = Dag.from_edges(
    ["late -> wait -> rating -> churn", ("late", "rating"), "hidden -> wait", "hidden -> churn"],
    nodes=["plan"],
    latent="hidden",
)


# Writing a graph ----------------------------------------------------------------------------------------


def test_pairs_texts_and_chains_are_one_language() -> None:
    written = [
        Dag.from_edges("a->b -> c"),
        Dag.from_edges(["a -> b", "b  ->  c"]),
        Dag.from_edges([("a", "b"), ["b", "c"]]),
        Dag(("a", "b", "c"), (("a", "b"), ("b", "c"))),
        Dag.from_edges((edge for edge in ["b -> c", "a -> b"]), nodes=("c",)),
    ]
    assert len(set(written)) == 1
    assert written[0].edges == (("a", "b"), ("b", "c"))


def test_order_of_declaration() -> None:
    assert SHOP.nodes == ("plan", "late", "wait", "rating", "churn", "hidden")
    assert SHOP.observed == ("plan", "late", "wait", "rating", "churn")
    assert SHOP.edges == (
        ("late", "wait"), ("late", "rating"), ("wait", "rating"), ("rating", "churn"), ("hidden", "wait"),
        ("hidden", "churn"),
    )  # fmt: skip
    assert SHOP.position("late") == 1


def test_equal_by_content_and_usable_as_key() -> None:
    one = Dag.from_edges(["a -> b", "c -> b"], nodes=["d"], latent=["a", "c"])
    other = Dag.from_edges(["c -> b", "a -> b"], nodes=["d", "b"], latent=["c", "a"])
    assert one == other
    assert {one: 1}[other] == 1
    assert one != Dag.from_edges(["a -> b", "c -> b"], nodes=["d"], latent=["a"])
    assert one != Dag.from_edges(["a -> b", "c -> b"], latent=["a", "c"])
    assert one != Dag.from_edges(["b -> a", "c -> b"], nodes=["d"], latent=["a", "c"])
    assert one != "a -> b"


def test_repr_is_stable_and_survives_use_and_pickling() -> None:
    text = (
        "Dag(late -> wait, late -> rating, wait -> rating, rating -> churn, hidden -> wait, hidden -> churn, plan; "
        "latent: hidden)"
    )
    assert repr(SHOP) == text
    assert SHOP.order
    again = pickle.loads(pickle.dumps(SHOP))  # noqa: S301
    assert again == SHOP
    assert repr(again) == text
    assert repr(Dag(())) == "Dag()"
    assert repr(Dag(("a",))) == repr(Dag("a")) == repr(Dag.from_edges([], nodes="a")) == "Dag(a)"  # type: ignore[arg-type]


def test_a_graph_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SHOP.nodes = ()  # type: ignore[misc]
    import networkx as nx

    with pytest.raises(nx.NetworkXError, match="Frozen"):
        SHOP.digraph.add_edge("churn", "plan")


# What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "parts"),
    [
        (["a -> b", "b -> a"], ("the edges go in a circle: a -> b -> a.", "Nothing in it would be first")),
        (["c -> a", "b -> c", "a -> b", "d -> a"], ("circle: c -> a -> b -> c.",)),
        (["a -> a"], ("'a' points to itself: a -> a.",)),
        (["a -> b -> c", "a -> b"], ("1 of 2 edges are there twice: a -> b.",)),
        (["a -> b", ("a", "b"), "b -> c", "b -> c"], ("2 of 2 edges are there twice: a -> b, b -> c.",)),
        (["a"], ("'a' is no edge: an arrow has a name on both sides.", "goes to nodes=")),
        (["a ->"], ("'a ->' is no edge",)),
        (["a -> -> b"], ("'a -> -> b' is no edge",)),
        ([("a", "b", "c")], ("('a', 'b', 'c') is no edge: it is neither a pair of names nor a text",)),
        ([("a", 1)], ("('a', 1) is no edge",)),
        ([(["a"], "b")], ("(['a'], 'b') is no edge",)),
        ([None], ("None is no edge",)),
        (7, ("7 is no edge",)),
        (["a <- b"], ("'a <- b' is no edge",)),
        (["a <- b -> c"], ("'a <- b' is no name of a node: it has space around it or an arrow in it.",)),
        ([("a ", "b")], ("'a ' is no name of a node: it has space around it",)),
        ([("", "b")], ("'' is no name of a node.",)),
        ([("Late", "b"), ("late", "b")], ("'Late' and 'late' differ only in case or space.", "half of its edges")),
        ([("support wait", "b"), ("supportwait", "c")], ("'support wait' and 'supportwait' differ only",)),
    ],
)
def test_edges_that_cannot_be(refuses, edges, parts) -> None:
    with refuses(GraphError, *parts):
        Dag.from_edges(edges)


def test_a_circle_begins_with_the_node_declared_first(refuses) -> None:
    with refuses(GraphError, "circle: b -> a -> b."):
        Dag.from_edges(["a -> b", "b -> a"], nodes=["b"])


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: Dag.from_edges("a -> b", latent="hiden"), ("1 of 1 names is no node of the graph: 'hiden'.",)),
        (lambda: Dag.from_edges("a -> b", latent=["x", "y"]), ("2 of 2 names are no nodes of the graph: 'x', 'y'.",)),
        (lambda: Dag.from_edges("a -> b", latent=3), ("`latent`=3 does not name nodes.",)),
        (lambda: Dag.from_edges("a -> b", nodes=[3]), ("`nodes`=[3] does not name nodes.",)),
        (lambda: Dag(("a", "a")), ("node 'a' is there twice.",)),
        (lambda: Dag(("a", 1)), ("1 is no name of a node.",)),
        (lambda: Dag(("a",), (("a", "b"),)), ("1 of 2 names is no node of the graph: 'b'.", "The nodes are a.")),
    ],
)
def test_nodes_that_cannot_be(refuses, make, parts) -> None:
    parts = tuple(part.replace("The nodes", "he nodes") for part in parts)
    with refuses(GraphError, *parts):
        make()


@pytest.mark.parametrize(
    "ask",
    [
        lambda dag: dag.parents("lat"),
        lambda dag: dag.children("lat"),
        lambda dag: dag.ancestors("lat"),
        lambda dag: dag.descendants("Lat"),
        lambda dag: dag.adjacent("late", "lat"),
        lambda dag: dag.position("lat"),
        lambda dag: dag.d_separated("lat", "churn"),
        lambda dag: dag.d_separated("late", "churn", given="lat"),
        lambda dag: dag.open_path("late", ["churn", "lat"]),
        lambda dag: dag.paths("lat", "churn"),
        lambda dag: dag.without_edges_into("lat"),
        lambda dag: dag.without_edges_from("lat"),
        lambda dag: dag.check_tiers({"lat": 1}),
    ],
)
def test_an_unknown_name_has_a_suggestion(refuses, ask) -> None:
    with refuses(
        GraphError,
        "no node of the graph: '",
        "Hint: did you mean 'late'? The nodes are plan, late, wait, rating, churn, hidden.",
        count=1,
    ):
        ask(SHOP)


def test_a_name_like_no_other_has_no_suggestion(refuses) -> None:
    with refuses(GraphError, "no node of the graph: 'xyz'.", "Hint: the nodes are plan, late"):
        SHOP.parents("xyz")


def test_separation_is_between_different_nodes(refuses) -> None:
    for a, b, given in [("late", "late", ()), ("late", "churn", "late"), (["late", "wait"], "churn", ["wait"])]:
        with refuses(GraphError, "is in two of `a`, `b` and `given`."):
            SHOP.d_separated(a, b, given)
    with refuses(GraphError, "`a` or `b` names no node."):
        SHOP.d_separated([], "churn")
    with refuses(GraphError, "`a` or `b` names several nodes."):
        SHOP.paths(["late", "plan"], "churn")  # type: ignore[arg-type]


# Relations ----------------------------------------------------------------------------------------------


def test_family() -> None:
    assert SHOP.parents("rating") == ("late", "wait")
    assert SHOP.children("late") == ("wait", "rating")
    assert SHOP.ancestors("rating") == ("late", "wait", "hidden")
    assert SHOP.descendants("wait") == ("rating", "churn")
    assert SHOP.ancestors("plan") == SHOP.descendants("plan") == SHOP.parents("late") == ()
    assert SHOP.adjacent("rating", "late")
    assert not SHOP.adjacent("late", "churn")


def test_order_puts_causes_first_and_ties_as_declared() -> None:
    assert SHOP.order == ("plan", "late", "hidden", "wait", "rating", "churn")
    assert Dag(("c", "b", "a")).order == ("c", "b", "a")
    assert Dag.from_edges("z -> b", nodes=["c", "b", "a"]).order == ("c", "a", "z", "b")


def test_relations_of_random_graphs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        dag = random_dag(rng, 7)
        for node in dag.nodes:
            below = descendants(dag, node)
            assert set(dag.descendants(node)) == below - {node}
            assert all(node in dag.ancestors(other) for other in below - {node})
            assert dag.in_order(dag.ancestors(node)) == dag.ancestors(node)
        assert all(dag.order.index(a) < dag.order.index(b) for a, b in dag.edges)


def test_edges_are_taken_away() -> None:
    assert SHOP.without_edges(["late -> wait -> rating"]).parents("rating") == ("late",)
    assert SHOP.without_edges([]) == SHOP
    cut = SHOP.without_edges_into(["wait", "churn"])
    assert (cut.parents("wait"), cut.parents("churn"), cut.parents("rating")) == ((), (), ("late", "wait"))
    assert cut.latent == SHOP.latent
    assert SHOP.without_edges_from("late").children("late") == ()


def test_an_edge_that_is_not_there_cannot_be_taken_away(refuses) -> None:
    with refuses(GraphError, "1 of 2 edges are not in the graph: churn -> late.", "dag.edges lists them"):
        SHOP.without_edges(["late -> wait", "churn -> late"])


# Time ---------------------------------------------------------------------------------------------------


def test_tiers_that_agree_with_the_arrows() -> None:
    SHOP.check_tiers({"late": 0, "wait": 0, "rating": 1, "churn": 3})
    SHOP.check_tiers({"late": -2, "churn": 0, "plan": 9, "wait": None})
    SHOP.check_tiers({})


def test_an_arrow_into_the_past_is_named(refuses) -> None:
    with refuses(GraphError, "wait -> rating points from tier 2 to tier 1.", "An effect would come before its cause."):
        SHOP.check_tiers({"late": 0, "wait": 2, "rating": 1, "churn": 3})
    with refuses(GraphError, "wait -> rating -> churn points from tier 5 to tier 3."):
        SHOP.check_tiers({"wait": 5, "churn": 3})


@pytest.mark.parametrize("tier", [True, 1.0, "1"])
def test_a_tier_is_a_whole_number(refuses, tier) -> None:
    with refuses(DataTypeError, f"tier {tier!r} of 'late' is not a whole number."):
        SHOP.check_tiers({"late": tier})


# Paths --------------------------------------------------------------------------------------------------


def test_paths_say_where_they_are_blocked() -> None:
    told = [repr(path) for path in SHOP.paths("wait", "churn", given=["rating"])]
    assert told == [
        "Path(wait -> rating -> churn: blocked by rating)",
        "Path(wait <- hidden -> churn: open)",
        "Path(wait <- late -> rating -> churn: blocked by rating)",
    ]
    told = [repr(path) for path in SHOP.paths("late", "hidden", given=["wait"])]
    assert told == [
        "Path(late -> wait <- hidden: open)",
        "Path(late -> rating <- wait <- hidden: blocked by rating, wait)",
        "Path(late -> rating -> churn <- hidden: blocked by churn)",
        "Path(late -> wait -> rating -> churn <- hidden: blocked by wait, churn)",
    ]


def test_a_collider_is_opened_by_what_follows_from_it() -> None:
    (path,) = Dag.from_edges(["a -> c", "b -> c", "c -> d -> e"]).paths("a", "b", given="e")
    assert path.open
    assert path.colliders == ("c",)
    assert path.between == ()


def test_parts_of_a_path() -> None:
    back, ahead = (
        Path(("wait", "hidden", "churn"), (False, True)),
        Path(("wait", "rating", "churn"), (True, True)),
    )
    assert (back.back_door, back.causal, back.open, back.between) == (True, False, True, ("hidden",))
    assert (ahead.back_door, ahead.causal) == (False, True)
    assert str(Path(("a", "b"), (False,))) == "a <- b"
    assert str(Path(("a", "c", "b"), (True, False), ("c",))) == "a -> c <- b"


def test_no_path_and_too_many(refuses) -> None:
    assert SHOP.paths("plan", "churn") == ()
    assert SHOP.open_path("plan", "churn") is None
    dense = Dag.from_edges(list(combinations("abcdefghij", 2)))
    with refuses(NetworkSizeError, "more than 10,000 paths between a and j.", 'dag.open_path("a", "j", given=…)'):
        dense.paths("a", "j")
    assert str(dense.open_path("a", "j")) == "a -> j"
