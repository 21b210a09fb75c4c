"""The picture of a network: who stands where, how arrows run, what is written, and that all of it can be read."""

import itertools
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churnsurv.causes.effects import Effect
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.dag.graph import Dag
from churnsurv.dag.identification import identify_effect
from churnsurv.errors import ArgumentError
from churnsurv.plots.cause_layout import arrange, crossings, is_bend, lay_out
from churnsurv.plots.causes import _wide, causes_data, plot_causes
from churnsurv.plots.style import NARROW, VERMILION, WIDE
from churnsurv.plots.svg import to_svg
from churnsurv.tables.features import Arrival, Count

# Widths in thousandths of an em, from Adobe's font metrics of Helvetica-Bold (Core 14 AFM files), space to tilde.
HELVETICA_BOLD = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611,
    611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
]  # fmt: skip

IDENTIFIED = identify_effect(Dag.from_edges(["late -> churn"]), "late", "churn")
OPEN = identify_effect(Dag.from_edges(["mood -> late -> churn", "mood -> churn"], latent=["mood"]), "late", "churn")

NETS = {
    "one": (["late"], ["late -> churn"]),
    "two": (["late", "wait"], ["late -> wait -> churn", "late -> churn"]),
    "five": (
        ["country", "late", "wait", "rating", "habit"],
        ["country -> late -> wait -> rating -> churn", "late -> rating", "country -> churn", "late -> churn",
         "wait -> churn", "habit -> churn", "country -> habit"],
    ),
    "latent": (
        ["late", "wait", "rating"],
        ["late -> wait -> rating -> churn", "mood -> rating", "mood -> churn", "trust -> wait", "trust -> churn"],
    ),
    "apart": (["late", "colour"], ["late -> churn"]),
    "nine": (
        list("abcdefghi"),
        ["a -> b -> c -> churn", "a -> d -> e -> churn", "f -> b", "f -> g -> h -> churn", "i -> churn", "a -> churn",
         "d -> h", "g -> churn"],
    ),
    "twelve": (
        [f"cause {k}" for k in range(12)],
        [*(f"cause {k} -> cause {k + 3} -> cause {k + 6} -> cause {k + 9} -> churn" for k in range(3)),
         "cause 0 -> cause 4", "cause 2 -> cause 4", "cause 1 -> churn", "cause 5 -> churn", "cause 3 -> cause 10"],
    ),
    "star": ([f"cause {k}" for k in range(12)], [f"cause {k} -> churn" for k in range(12)]),
    "chain": (
        [f"cause {k}" for k in range(12)],
        [" -> ".join([*(f"cause {k}" for k in range(12)), "churn"]), "cause 0 -> churn", "cause 3 -> churn"],
    ),
}  # fmt: skip


def drawn(names, edges, *, latent=(), moving=()):
    nodes = [
        Node(name, Arrival("delivery")) if name in moving else Node(name, Count("order", days=30.0 + k), cuts=[1])
        for k, name in enumerate(names)
    ]
    return CauseNetwork(nodes, edges, latent=latent)


def net(name):
    names, edges = NETS[name]
    return drawn(names, edges, latent=["mood", "trust"] if name == "latent" else ())


def effect(cause, kept=(0.0, 100.0), *, identification=IDENTIFIED, alone=""):
    """An effect whose draws of customers kept per thousand are evenly spaced."""
    draws = np.linspace(kept[0], kept[1], 201)[:, None] / 1000
    zero = np.zeros_like(draws)
    draws = draws if identification.identified else np.full_like(draws, np.nan)
    return Effect(
        cause=cause, to="short", versus="as it is", horizon=60.0, outcome="no order within {:g} days", by=None,
        segments=("all",), identification=identification, identifications=(identification,), churn_to=zero,
        churn_versus=draws, days_to=zero, days_versus=zero, association=None, positivity=(), settings=("short", None),
        given={}, alone=alone,
    )  # fmt: skip


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    pairs = list(itertools.combinations(range(n), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    return [f"n{k}" for k in range(n)], [(f"n{a}", f"n{b}") for a, b in edges]


# Layers


@given(graphs(), st.sampled_from([None, 1, 2, 3]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_arrows_go_from_layer_to_layer_forwards(graph, most, alone):
    order, edges = graph
    found = lay_out(order, edges, apart=order[:1] if alone else (), most=most)
    where = {name: k for k, row in enumerate(found.layers) for name in row}
    assert sorted(name for name in where if not is_bend(name)) == sorted(order)
    assert sum(map(len, found.layers)) == len(where)
    assert set(found.arrows) == set(edges)
    for (start, end), chain in found.arrows.items():
        assert (chain[0], chain[-1]) == (start, end)
        assert [where[name] for name in chain] == list(range(where[start], where[end] + 1))
        assert all(map(is_bend, chain[1:-1]))
    if most is not None:
        assert max(sum(not is_bend(name) for name in row) for row in found.layers) <= most


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_no_order_has_more_crossings_than_that_of_the_declaration(graph):
    found = lay_out(*graph)
    links = {pair for chain in found.arrows.values() for pair in itertools.pairwise(chain)}
    place = {
        name: i for i, name in enumerate([*graph[0], *(bend for chain in found.arrows.values() for bend in chain)])
    }
    naive = [sorted(row, key=lambda name: place[name]) for row in found.layers]
    assert crossings(found.layers, links) <= crossings(naive, links)


def test_crossings_are_undone():
    edges = [("a", "z"), ("b", "y"), ("c", "x"), ("x", "end"), ("y", "end"), ("z", "end")]
    assert crossings([["a", "b", "c"], ["x", "y", "z"], ["end"]], edges) == 3
    found = lay_out(["a", "b", "c", "x", "y", "z", "end"], edges)
    assert crossings(found.layers, edges) == 0
    assert [set(row) for row in found.layers] == [{"a", "b", "c"}, {"x", "y", "z"}, {"end"}]


def test_crossings_count_pairs_between_the_same_layers():
    rows = [["a", "b"], ["c", "d"], ["e"]]
    assert crossings(rows, [("a", "c"), ("b", "d"), ("c", "e"), ("d", "e")]) == 0
    assert crossings(rows, [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]) == 1


def test_a_root_stands_next_to_its_first_effect():
    edges = [("a", "b"), ("b", "c"), ("c", "churn"), ("mood", "c"), ("mood", "churn")]
    found = lay_out(["mood", "a", "b", "c", "churn"], edges, apart=["mood"])
    assert [{name for name in row if not is_bend(name)} for row in found.layers] == [
        {"a"},
        {"b", "mood"},
        {"c"},
        {"churn"},
    ]


def test_arrows_to_the_same_node_share_their_way_unless_kept_apart():
    order, edges = ["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("b", "d")]
    together, apart = lay_out(order, edges), lay_out(order, edges, apart=["a"])
    assert together.arrows["a", "d"][-2] == together.arrows["b", "d"][-2]
    assert apart.arrows["a", "d"][-2] != apart.arrows["b", "d"][-2]
    assert len(together.arrows["a", "d"]) == 4


def test_full_layers_become_several():
    order = [f"n{k}" for k in range(7)]
    found = lay_out([*order, "end"], [(name, "end") for name in order], most=3)
    assert [sum(not is_bend(name) for name in row) for row in found.layers] == [3, 2, 2, 1]


def test_a_single_node_and_nodes_without_arrows():
    assert lay_out(["a"], []).layers == (("a",),)
    assert lay_out(["a", "b", "c"], [("a", "c")]).layers == (("a", "b"), ("c",))
    assert arrange(["a"], [], width=640, high=46, upright=False).places == {"a": (64.0, 34.0)}


# Places


def check_room(found, width):
    """Boxes are readable, inside, apart; no arrow leaves the drawing or comes near a box that it does not touch."""
    half = np.array(found.box) / 2
    assert 88 <= found.box[0] <= 128
    middles = np.array(list(found.places.values()))
    assert (middles - half >= -1e-9).all()
    assert (middles + half <= np.array([width, found.height]) + 1e-9).all()
    for (_, a), (_, b) in itertools.combinations(found.places.items(), 2):
        assert (np.abs(np.subtract(a, b)) >= 2 * half + 5).any()
    for edge, points in found.arrows.items():
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            way = np.linspace([x0, y0], [x1, y1], 1 + int(np.hypot(x1 - x0, y1 - y0)))
            assert (way >= -1e-9).all()
            assert (way <= np.array([width, found.height]) + 1e-9).all()
            for name, middle in found.places.items():
                over = (np.abs(way - middle) < half + (-1e-6 if name in edge else 2.0)).all(axis=1)
                assert not over.any(), (edge, name)


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", NETS)
def test_boxes_have_room_and_arrows_go_round_them(name, width):
    network = net(name)
    dag = network.dag
    check_room(arrange(dag.order, dag.edges, width=width, high=60, upright=width == NARROW, apart=dag.latent), width)


@given(graphs(), st.sampled_from([(640, False), (640, True), (320, True), (240, True)]))
@settings(max_examples=60, deadline=None)
def test_any_graph_has_room(graph, shape):
    check_room(arrange(*graph, width=shape[0], high=46, upright=shape[1], apart=graph[0][:1]), shape[0])


def test_two_causes_stand_where_they_should():
    """Layers of 68 and 68 + 22 pixels, centred; boxes of 128 at both ends and in the middle of 640."""
    picture = causes_data(net("two"))
    boxes = picture.boxes.set_index("node")
    assert picture.box == (128.0, 46.0)
    assert (picture.width, picture.height) == (640.0, 90.0)
    np.testing.assert_allclose(boxes.loc[["late", "wait", "churn"], "x"], [64, 320, 576])
    np.testing.assert_allclose(boxes.loc[["late", "wait", "churn"], "y"], [45, 34, 45])
    arrows = [frame[["x", "y"]].to_numpy() for _, frame in picture.arrows.groupby("arrow", sort=True)]
    assert [tuple(points[0]) for points in arrows] == [(128, 40), (128, 50), (384, 34)]
    assert [tuple(points[-1]) for points in arrows] == [(253, 34), (509, 50), (509, 40)]
    passing = arrows[1][(arrows[1][:, 0] >= 256) & (arrows[1][:, 0] <= 384)]
    np.testing.assert_allclose(passing, [[256, 79], [384, 79]])
    assert set(map(tuple, picture.heads[["x", "y", "angle"]].to_numpy())) == {
        (253, 34, 90), (509, 50, 90), (509, 40, 90),
    }  # fmt: skip


def test_on_a_phone_causes_stand_above_their_effects():
    picture = causes_data(net("two"), width=NARROW)
    boxes = picture.boxes.set_index("node")
    assert (picture.width, picture.height) == (320.0, 46 * 3 + 40 * 2)
    np.testing.assert_allclose(boxes.loc[["late", "wait", "churn"], "y"], [23, 109, 195])
    np.testing.assert_allclose(boxes.loc[["late", "churn"], "x"], 160)
    assert boxes.loc["wait", "x"] == pytest.approx(149)
    assert set(picture.heads["angle"]) == {180}


def test_too_many_layers_for_the_width_stand_upright():
    assert set(causes_data(net("chain")).heads["angle"]) == {180}
    assert set(causes_data(net("twelve")).heads["angle"]) == {90}


def test_a_drawing_needs_some_width():
    with pytest.raises(ArgumentError, match="100 pixels wide is too narrow to be read"):
        causes_data(net("two"), width=100)


# Words


def test_what_each_cause_is_worth_is_written_in_its_box():
    """Of draws spread evenly over a to b, 5 and 95 % lie at a + 0.05 (b - a) and a + 0.95 (b - a)."""
    network = drawn(
        ["late", "wait", "rating", "habit", "price"], ["late -> wait -> churn", "mood -> price"], latent=["mood"]
    )
    effects = {
        "late": effect("late", (0, 100)),
        "wait": effect("wait", (-2, 8)),
        "rating": effect("rating", (-100, -20)),
        "price": effect("price", identification=OPEN),
    }
    boxes = causes_data(network, effects).boxes.set_index("node")
    assert boxes["told"].to_dict() == {
        "late": "keeps 5 to 95", "wait": "keeps −2 to 8", "rating": "loses 24 to 96", "habit": "", "churn": "",
        "price": "not identified", "mood": "not in the data",
    }  # fmt: skip
    assert boxes["label"].to_dict() == {
        "late": "identified", "wait": "identified", "rating": "identified", "habit": "", "churn": "", "mood": "",
        "price": "not identified",
    }  # fmt: skip
    assert boxes["kind"].to_dict() == {
        "late": "cause", "wait": "cause", "rating": "cause", "habit": "cause", "price": "cause", "mood": "latent",
        "churn": "churn",
    }  # fmt: skip


def test_what_rounds_to_zero_has_no_sign():
    told = causes_data(net("one"), {"late": effect("late", (-0.5, 9.5))}).boxes.set_index("node")["told"]
    assert told["late"] == "keeps 0 to 9"


def test_one_way_to_churn_is_not_churn():
    boxes = causes_data(net("one"), {"late": effect("late", (0, 100), alone="moved")}).boxes.set_index("node")
    assert boxes.loc["late", "told"] == "5 to 95 fewer"
    boxes = causes_data(net("one"), {"late": effect("late", (-100, 0), alone="moved")}).boxes.set_index("node")
    assert boxes.loc["late", "told"] == "5 to 95 more"
    said = plot_causes(net("one"), {"late": effect("late", alone="moved")}).to_dict()["title"]["subtitle"]
    assert " ".join(said).startswith("customers who leave by moved fewer of 1,000")


def test_an_effect_without_a_number_is_not_told():
    broken = effect("late", (np.nan, np.nan))
    assert causes_data(net("one"), {"late": broken}).boxes.set_index("node").loc["late", "told"] == "not told"


def test_moving_and_latent_causes_say_so():
    network = drawn(["late", "delivery"], ["late -> churn", "delivery -> churn", "mood -> late", "mood -> churn"],
                    latent=["mood"], moving=["delivery"])  # fmt: skip
    picture = causes_data(network)
    boxes = picture.boxes.set_index("node")
    assert boxes.loc["delivery", ["kind", "told"]].tolist() == ["moves", "known later"]
    assert boxes.loc["mood", ["kind", "told"]].tolist() == ["latent", "not in the data"]
    hidden = picture.arrows.groupby("arrow")["hidden"].first()
    assert hidden.tolist() == [start == "mood" for start, _ in network.dag.edges]
    assert picture.heads["hidden"].sum() == 2
    effects = {"delivery": effect("delivery")}
    assert plot_causes(network, effects).to_dict()["title"]["subtitle"][-1] == "shaded blue: known later, while at risk"
    assert len(plot_causes(net("two"), {"late": effect("late")}).to_dict()["title"]["subtitle"]) == 1


def test_arrows_that_share_an_end_share_its_head():
    picture = causes_data(net("chain"))
    assert picture.arrows["arrow"].nunique() == 14
    assert len(picture.heads) == 13


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_words_stay_in_their_boxes(width):
    names = [
        "previous delivery to the door late",
        "W" * 24,
        "rating_of_the_previous_order",
        "mm " * 9 + "m",
        "x",
        "配達が遅れた注文の割合",
    ]
    network = drawn(names, [f"{name} -> churn" for name in names])
    picture = causes_data(network, {name: effect(name, (-12_345, 67_890)) for name in names}, width=width)
    boxes = picture.boxes.set_index("node")
    assert boxes.loc[names[0], "name"].split("\n")[0].startswith("previous")
    assert boxes.loc[names[1], "name"].endswith("…")
    assert boxes.loc["x", "name"] == "x"
    for line in picture.lines.itertuples():
        middle = boxes.loc[line.node, ["x", "y"]]
        assert abs(line.x - middle["x"]) < 1e-9
        assert abs(line.y - middle["y"]) + 6 <= picture.box[1] / 2
        size = 12 if line.role == "name" else 11
        wide = sum(HELVETICA_BOLD[ord(c) - 32] if c.isascii() else 1000 for c in line.text) * size / 1000
        assert wide <= picture.box[0]


def test_a_name_breaks_where_it_may_and_keeps_its_letters():
    names = {
        "support wait until answered": "support wait until\nanswered",
        "previous_order_rating_stars": "previous_order_\nrating_stars",
    }
    names |= {"late": "late", "well-known-customer-segments": "well-known-\ncustomer-segme…"}
    boxes = causes_data(drawn(list(names), [f"{name} -> churn" for name in names])).boxes.set_index("node")
    assert {name: boxes.loc[name, "name"] for name in names} == names


def test_letters_are_never_narrower_than_they_are_taken_for():
    for code, width in enumerate(HELVETICA_BOLD, 32):
        assert width / 1000 <= _wide(chr(code), 1.0) <= width / 1000 + 0.15, chr(code)
    assert _wide("…", 1.0) == 1.0


# The drawing


def texts(svg):
    return {element.text for element in ET.fromstring(svg).iter() if element.text and element.text.strip()}  # noqa: S314


def test_hostile_names_are_text():
    names = ["<script>", "</text>", '"><img x>', "]]>&lt;", "{{7*7}}", "' + datum"]
    network = drawn([*names, "a\u202eb"], [(name, "churn") for name in names])
    svg = to_svg(plot_causes(network, {names[0]: effect(names[0])}), name="causes")
    assert "<script" not in svg
    assert "<img" not in svg
    assert {*names, "a\ufffdb"} <= texts(svg)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_drawing_shows_boxes_arrows_and_the_question(width):
    network = net("latent")
    effects = {"late": effect("late"), "wait": effect("wait", identification=OPEN)}
    svg = to_svg(plot_causes(network, effects, width=width), name="causes")
    root = ET.fromstring(svg)  # noqa: S314
    # Four pixels of padding on either side, and half the strokes of the outer boxes.
    assert width + 8 <= float(root.attrib["width"]) <= width + 12
    shown = texts(svg)
    assert {"What each cause is worth", "keeps 5 to 95", "not identified", "mood", "churn", "not in the data"} <= shown
    assert {"late", "wait", "rating", "trust"} <= shown
    dashed = [element for element in root.iter() if element.attrib.get("stroke-dasharray") == "4,3"]
    assert len(dashed) == 4
    assert {element.attrib["stroke"] for element in dashed} == {VERMILION}


def test_without_effects_there_is_no_title():
    assert "title" not in plot_causes(net("five")).to_dict()
    assert texts(to_svg(plot_causes(net("two")), name="causes")) == {"late", "wait", "churn"}


def test_nothing_can_be_drawn_of_nobody_but_the_leaf():
    """A node without an arrow, and churn without a cause."""
    picture = causes_data(drawn(["late"], []))
    assert picture.boxes["node"].tolist() == ["late", "churn"]
    assert picture.arrows.empty
    assert isinstance(picture.heads, pd.DataFrame)
    assert texts(to_svg(plot_causes(drawn(["late"], [])), name="causes")) == {"late", "churn"}


def test_the_same_network_gives_the_same_bytes():
    first, second = (to_svg(plot_causes(net("twelve")), name="causes") for _ in range(2))
    assert first == second
