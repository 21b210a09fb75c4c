"""A drawing in a file: what is read, and every drawing that cannot be as a sentence, before any data."""

import pytest

from churnsurv.analysis.drawing import Drawing, Question, read_drawing
from churnsurv.causes.network import CauseNetwork
from churnsurv.causes.nodes import Node
from churnsurv.errors import (
    ArgumentError,
    BreaksError,
    FileFormatError,
    GraphError,
    IdentificationError,
    UnknownStateError,
)
from churnsurv.tables.features import Arrival, Baseline, Count, Drop, Maximum, Mean, Recency, Rhythm, Value
from tests.causes.known_shop import nodes

SHOP = """
edges = ["country -> late -> wait -> churn", "mood -> churn"]
latent = ["mood"]

[nodes.country]
feature = "Value"
kind = "order"
column = "country"
levels = { near = ["near", "home"] }
tier = 0

[nodes.late]
feature = "Count"
kind = "delay"
days = 90
cuts = [0]

[nodes.wait]
feature = "Maximum"
kind = "ticket"
column = "wait_hours"
days = 90
cuts = [4, 24]
labels = ["short", "middle", "long"]
missing = "no ticket"
"""


def written(folder, text):
    path = folder / "causes.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_drawing_is_read_as_it_would_be_written_in_python(tmp_path):
    asked = """
    [keep]
    wait = "no ticket"
    late = ["0"]

    [[questions]]
    cause = "wait"
    to = "short"
    versus = "long"
    by = "country"

    [[questions]]
    cause = "wait"
    to = { long = "short", middle = "short" }
    """
    found = read_drawing(written(tmp_path, SHOP.replace("cuts = [0]", 'cuts = [0]\nlabels = ["0", "1+"]') + asked))
    network = found.network
    assert network.nodes == (
        Node("country", Value("order", "country"), levels={"near": ["near", "home"]}, tier=0),
        Node("late", Count("delay", days=90), cuts=[0], labels=["0", "1+"]),
        Node("wait", Maximum("ticket", "wait_hours", days=90), cuts=[4, 24], labels=["short", "middle", "long"],
             missing="no ticket"),
    )  # fmt: skip
    assert network.nodes[0].levels == {"near": ("near", "home")}
    assert set(network.dag.edges) == {("country", "late"), ("late", "wait"), ("wait", "churn"), ("mood", "churn")}
    assert network.dag.latent == {"mood"}
    assert network.cause is None
    assert found.keep == {"wait": ("no ticket",), "late": ("0",)}
    assert found.questions == (
        Question("wait", "short", "long", "country"),
        Question("wait", {"long": "short", "middle": "short"}),
    )


@pytest.mark.parametrize(
    ("settings", "feature"),
    [
        ('feature = "Count"\nkind = "order"\ndays = 90', Count("order", days=90)),
        ('feature = "Rhythm"\nkind = "order"\ndays = 365.5', Rhythm("order", days=365.5)),
        ('feature = "Value"\nkind = "order"\ncolumn = "revenue"', Value("order", "revenue")),
        ('feature = "Value"\nkind = "visit"\ncolumn = "pages"\ndays = 30', Value("visit", "pages", days=30)),
        ('feature = "Mean"\nkind = "review"\ncolumn = "stars"\ndays = 90', Mean("review", "stars", days=90)),
        ('feature = "Maximum"\nkind = "ticket"\ncolumn = "hours"\ndays = 90', Maximum("ticket", "hours", days=90)),
        ('feature = "Drop"\nkind = "review"\ncolumn = "stars"\nrecent = 30\nbefore = 90',
         Drop("review", "stars", recent=30, before=90)),
        ('feature = "Recency"\nkind = "visit"\ndays = 60', Recency("visit", days=60)),
        ('feature = "Arrival"\nkind = "delivery"\ncolumn = "days"', Arrival("delivery", "days")),
        ('feature = "Baseline"\ncolumn = "charges"', Baseline("charges")),
    ],
)  # fmt: skip
def test_every_declaration_can_be_written(tmp_path, settings, feature):
    text = f'edges = ["x -> churn"]\n[nodes.x]\n{settings}\ncuts = [1, 2.5]\n'
    (node,) = read_drawing(written(tmp_path, text)).network.nodes
    assert node == Node("x", feature, cuts=[1, 2.5])
    assert type(node.feature) is type(feature)


def test_an_arrival_needs_no_column(tmp_path):
    text = 'edges = "x -> churn"\n[nodes.x]\nfeature = "Arrival"\nkind = "delivery"\n'
    assert read_drawing(written(tmp_path, text)).network.nodes == (Node("x", Arrival("delivery")),)


def test_a_byte_order_mark_is_no_part_of_the_drawing(tmp_path):
    assert len(read_drawing(written(tmp_path, b"\xef\xbb\xbf" + SHOP.encode())).network.nodes) == 3


def test_the_event_is_that_of_the_file_unless_another_is_given(tmp_path):
    path = written(tmp_path, 'cause = "left"\n' + SHOP)
    assert read_drawing(path).network.cause == "left"
    assert read_drawing(path, cause="moved").network.cause == "moved"


def test_columns_are_numbers_where_they_are_cut_or_summed_up_and_texts_elsewhere():
    def node(name, feature, **settings):
        return Node(name, feature, **settings)

    drawn = Drawing(
        CauseNetwork(
            [
                node("a", Value("order", "country")),
                node("b", Value("order", "revenue"), cuts=[10]),
                node("c", Mean("review", "stars", days=9), cuts=[3]),
                node("d", Count("order", days=9), cuts=[1]),
                node("e", Arrival("delivery", "state")),
                node("f", Arrival("delivery"), levels={}),
                node("g", Arrival("review", "stars"), cuts=[3]),
                node("h", Drop("review", "stars", recent=9, before=9), cuts=[1]),
                node("i", Baseline("plan"), levels={"paid": ["pro"]}),
                node("j", Baseline("charges"), cuts=[50]),
            ],
            ["a -> churn"],
        )
    )
    assert drawn.values == ("revenue", "stars", "charges")
    assert drawn.labels == ("country", "state", "plan")


LATE = '[nodes.late]\nfeature = "Count"\nkind = "delay"\ndays = 90\ncuts = [0]'
ASK = '\n[[questions]]\ncause = "wait"\n'
BAD = {
    "no toml": ("edges = [", FileFormatError, ["causes.toml is no TOML file", "Hint: write edges = ["]),
    "no utf-8": (b"edges = ['\xff']", FileFormatError, ["is no TOML file"]),
    "nested": ("edges = " + "[" * 9999, FileFormatError, ["is no TOML file"]),
    "endless number": ("edges = " + "1" * 9999, FileFormatError, ["is no TOML file"]),
    "huge": ("#" * (1 << 20) + "\n", FileFormatError, ["causes.toml is larger than a drawing of twelve causes"]),
    "empty": ("", FileFormatError, ["causes.toml draws no nodes and no edges"]),
    "no edges": (LATE, FileFormatError, ["causes.toml draws 1 node and no edges"]),
    "no nodes": ('edges = ["a -> churn"]', FileFormatError, ["draws no nodes."]),
    "nodes a list": ("edges = []\nnodes = [1]", FileFormatError, ["causes.toml: nodes: [1] is no table"]),
    "a node no table": ("edges = []\n[nodes]\nlate = 3", FileFormatError, ["node 'late': 3 is no table"]),
    "unknown key": ("arrows = []\n" + SHOP, FileFormatError, ["causes.toml: 'arrows' is unknown", "known are: edges, latent"]),
    "unknown setting": ((LATE, LATE + "\ncolour = 1"), FileFormatError, ["node 'late': 'colour' is unknown", "cuts, labels"]),
    "no feature": (('feature = "Count"', ""), FileFormatError, ["node 'late' has no feature", "declarations are: Count, Rhythm"]),
    "unknown feature": (('"Count"', '"count"'), FileFormatError, ["node 'late': feature = 'count' is no declaration"]),
    "feature a list": (('"Count"', '["Count"]'), FileFormatError, ["feature = ['Count'] is no declaration"]),
    "missing setting": (("days = 90\ncuts = [0]", "cuts = [0]"), FileFormatError,
                        ["node 'late': Count needs days", "its settings are: kind, days"]),
    "missing kind": (('kind = "delay"\n', ""), FileFormatError, ["node 'late': Count needs kind"]),
    "stray setting": (("days = 90\ncuts = [0]", 'column = "x"\ndays = 90\ncuts = [0]'), FileFormatError,
                      ["node 'late': column is no setting of Count"]),
    "kind of a baseline": (("[nodes.late]", '[nodes.b]\nfeature = "Baseline"\nkind = "x"\ncolumn = "y"\n[nodes.late]'),
                           FileFormatError, ["kind is no setting of Baseline", "its settings are: column."]),
    "cuts a text": (("cuts = [0]", 'cuts = "4"'), FileFormatError, ["node 'late': cuts = '4' is no list of numbers"]),
    "cuts a number": (("cuts = [0]", "cuts = 4"), FileFormatError, ["cuts = 4 is no list of numbers"]),
    "cuts of texts": (("cuts = [0]", 'cuts = ["4"]'), FileFormatError, ["node 'late': cuts: '4' is no finite number"]),
    "cuts of truths": (("cuts = [0]", "cuts = [true]"), FileFormatError, ["cuts: True is no finite number"]),
    "cuts without end": (("cuts = [0]", "cuts = [inf]"), FileFormatError, ["cuts: inf is no finite number"]),
    "cuts beyond all": (("cuts = [0]", "cuts = [1" + "0" * 400 + "]"), FileFormatError, ["is no finite number"]),
    "cuts falling": (("cuts = [0]", "cuts = [2, 1]"), BreaksError, ["node 'late': cuts=[2.0, 1.0] are not increasing"]),
    "no cuts": (("cuts = [0]", ""), BreaksError, ["node 'late' is a number, and it has no cuts", "write cuts = [4, 24]"]),
    "labels a number": (("cuts = [0]", "cuts = [0]\nlabels = 3"), FileFormatError,
     ["node 'late': labels = 3 is no list of texts"]),
    "labels of numbers": (("cuts = [0]", "cuts = [0]\nlabels = [1, 2]"), FileFormatError,
     ["labels = [1, 2] is no list of texts"]),
    "labels too few": (("cuts = [0]", 'cuts = [0]\nlabels = ["a"]'), BreaksError, ["1 cuts make 2 states"]),
    "levels a list": (("levels = { near", "levels = [1] #"), FileFormatError, ["node 'country': levels: [1] is no table"]),
    "levels of numbers": (('["near", "home"]', "[1]"), FileFormatError,
     ["node 'country': levels.near = [1] is no list of texts"]),
    "missing a number": (('missing = "no ticket"', "missing = 0"), FileFormatError, ["node 'wait': missing = 0 is no text"]),
    "tier a text": (("tier = 0", 'tier = "0"'), FileFormatError, ["node 'country': tier = '0' is no whole number"]),
    "tier a truth": (("tier = 0", "tier = true"), FileFormatError, ["tier = True is no whole number"]),
    "kind a number": (('kind = "delay"', "kind = 3"), FileFormatError, ["node 'late': kind = 3 is no text"]),
    "column a number": (('column = "wait_hours"', "column = 3"), FileFormatError, ["node 'wait': column = 3 is no text"]),
    "kind empty": (('kind = "delay"', 'kind = ""'), FileFormatError, ["node 'late': kind = '' is no text"]),
    "days a text": (("days = 90\ncuts = [0]", 'days = "90"\ncuts = [0]'), FileFormatError,
     ["node 'late': days: '90' is no finite number"]),
    "days zero": (("days = 90\ncuts = [0]", "days = 0\ncuts = [0]"), FileFormatError,
                  ["node 'late': days = 0 lies outside 0.001 to 100000"]),
    "days for ever": (("days = 90\ncuts = [0]", "days = 1e300\ncuts = [0]"), FileFormatError, ["days = 1e+300 lies outside"]),
    "edges a number": ((SHOP.splitlines()[1], "edges = 5"), FileFormatError,
     ["edges = 5 is no list of texts", "late -> wait -> churn"]),
    "edges of lists": ((SHOP.splitlines()[1], 'edges = [["late", "churn"]]'), FileFormatError, ["is no list of texts"]),
    "an edge backwards": (("late -> wait -> churn", "late <- wait"), GraphError, []),
    "a cycle": (("late -> wait -> churn", "late -> wait -> late"), GraphError, ["late -> wait -> late"]),
    "an unknown node": (("late -> wait -> churn", "late -> wiat -> churn"), GraphError,
     ["the edges name 'wiat', which is no node"]),
    "latent a number": (('latent = ["mood"]', "latent = 1"), FileFormatError, ["latent = 1 is no list of texts"]),
    "latent and a node": (('latent = ["mood"]', 'latent = ["mood", "late"]'), GraphError, ["'late' is a node and latent"]),
    "cause a number": ("cause = 3\n" + SHOP, FileFormatError, ["cause = 3 is no text"]),
    "the leaf": (("[nodes.late]", '[nodes.churn]\nfeature = "Arrival"\nkind = "x"\n[nodes.late]'), ArgumentError,
     ["the name of the leaf"]),
    "a name with signs": (("[nodes.late]", '[nodes."a\\u0000b"]\nfeature = "Arrival"\nkind = "x"\n[nodes.late]'), ArgumentError,
                          ["the name 'a\\x00b' holds signs that cannot be printed"]),
    "a column's name": (("[nodes.late]", '[nodes.Period]\nfeature = "Arrival"\nkind = "x"\n[nodes.late]'), ArgumentError,
                        ["a node is called 'Period', as the tables call a column of their own"]),
    "a column twice": ((LATE, LATE + '\n[nodes.text]\nfeature = "Arrival"\nkind = "x"\ncolumn = "wait_hours"'), ArgumentError,
                       ["column 'wait_hours' is a text to the node 'text', and a number to another", "give 'text' cuts"]),
    "keep a number": (SHOP + "[keep]\nwait = 3", FileFormatError, ["keep.wait = 3 is no list of texts"]),
    "keep no table": ("keep = 3\n" + SHOP, FileFormatError, ["keep: 3 is no table"]),
    "keep an unknown node": (SHOP + '[keep]\nwiat = ["long"]', UnknownStateError,
     ["keep: 'wiat' is no node", "country, late, wait"]),
    "keep a latent node": (SHOP + '[keep]\nmood = ["bad"]', UnknownStateError,
     ["'mood' is no node that the data show; it is latent"]),
    "keep an unknown state": (SHOP + '[keep]\nwait = ["lang"]', UnknownStateError,
                              ["keep: wait has no state 'lang'", "'short', 'middle', 'long', 'no ticket'"]),
    "questions a text": ("questions = 'why'\n" + SHOP, FileFormatError, ["questions is no list of tables", "[[questions]]"]),
    "questions a table": (SHOP + '[questions]\ncause = "wait"\nto = "short"', FileFormatError,
     ["questions is no list of tables"]),
    "a question no table": ("questions = [3]\n" + SHOP, FileFormatError, ["a question: 3 is no table"]),
    "a question without cause": (SHOP + '[[questions]]\nto = "short"', FileFormatError,
     ["a question names to; it needs cause and to"]),
    "an empty question": (SHOP + "[[questions]]", FileFormatError, ["a question names nothing; it needs cause and to"]),
    "a question without to": (SHOP + ASK, FileFormatError, ["a question names cause; it needs cause and to"]),
    "a question of more": (SHOP + ASK + 'to = "short"\nwhy = 1', FileFormatError,
     ["a question: 'why' is unknown", "cause, to, versus, by"]),
    "cause of a question": (SHOP + '[[questions]]\ncause = 3\nto = "a"', FileFormatError, ["a question: cause = 3 is no text"]),
    "to a number": (SHOP + ASK + "to = 4", FileFormatError, ["the question about 'wait': 4 is neither a state nor states"]),
    "to a list": (SHOP + ASK + 'to = ["short"]', FileFormatError, ["['short'] is neither a state nor states that are replaced"]),
    "to nothing": (SHOP + ASK + "to = {}", FileFormatError, ["{} is neither a state"]),
    "to of numbers": (SHOP + ASK + "to = { long = 4 }", FileFormatError, ["{'long': 4} is neither"]),
    "versus a number": (SHOP + ASK + 'to = "short"\nversus = 4', FileFormatError, ["4 is neither a state"]),
    "by a number": (SHOP + ASK + 'to = "short"\nby = 4', FileFormatError, ["the question about 'wait': by = 4 is no text"]),
    "an unknown cause": (SHOP + '[[questions]]\ncause = "wiat"\nto = "a"', UnknownStateError,
     ["the question about 'wiat': 'wiat' is no node"]),
    "the leaf as a cause": (SHOP + '[[questions]]\ncause = "churn"\nto = "no"', UnknownStateError, ["'churn' is no node"]),
    "a latent cause": (SHOP + '[[questions]]\ncause = "mood"\nto = "good"', UnknownStateError, ["it is latent"]),
    "an unknown state": (SHOP + ASK + 'to = "<4h"', UnknownStateError, ["the question about 'wait': wait has no state '<4h'"]),
    "an unknown level": (SHOP + '[[questions]]\ncause = "country"\nto = "far"', UnknownStateError,
                         ["country has no state 'far'", "'near', 'other', 'none yet'"]),
    "a replaced state": (SHOP + ASK + 'to = { lang = "short" }', UnknownStateError, ["wait has no state 'lang'"]),
    "an unknown comparison": (SHOP + ASK + 'to = "short"\nversus = "lang"', UnknownStateError, ["wait has no state 'lang'"]),
    "unknown segments": (SHOP + ASK + 'to = "short"\nby = "town"', UnknownStateError,
     ["the question about 'wait': 'town' is no node"]),
    "segments of the cause": (SHOP + ASK + 'to = "short"\nby = "wait"', IdentificationError, ["those of wait, the cause itself"]),
    "moving segments": (SHOP.replace("[nodes.late]", '[nodes.parcel]\nfeature = "Arrival"\nkind = "x"\n[nodes.late]')
                        + ASK + 'to = "short"\nby = "parcel"', UnknownStateError,
                        ["parcel becomes known while the customer is at risk"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_drawing_that_cannot_be_is_a_sentence(tmp_path, name):
    text, error, words = BAD[name]
    if isinstance(text, tuple):
        assert text[0] in SHOP, "a test that changes nothing"
        text = SHOP.replace(text[0], text[1], 1)
    with pytest.raises(error) as caught:
        read_drawing(written(tmp_path, text))
    for word in words:
        assert word in str(caught.value)
    assert "Hint: " in str(caught.value)


def test_segments_that_the_cause_changes_are_refused(tmp_path):
    asked = '[[questions]]\ncause = "country"\nto = "near"\nby = "wait"'
    with pytest.raises(IdentificationError) as caught:
        read_drawing(written(tmp_path, SHOP + asked))
    assert "its segments are those of wait, which is an effect of it" in str(caught.value)
    assert read_drawing(written(tmp_path, SHOP + asked.replace("wait", "churn").replace("by", "#"))).questions


def test_states_that_only_the_data_know_are_not_refused(tmp_path):
    text = SHOP.replace('levels = { near = ["near", "home"] }', "") + '[[questions]]\ncause = "country"\nto = "Malta"'
    assert read_drawing(written(tmp_path, text)).questions == (Question("country", "Malta"),)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.toml cannot be read: No such file"):
        read_drawing(tmp_path / "none.toml")
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        read_drawing(tmp_path)


def test_a_drawing_made_in_python_is_checked_too():
    network = CauseNetwork(nodes()[:3], ["late -> wait -> churn"])
    with pytest.raises(UnknownStateError, match="keep: 'rating' is no node"):
        Drawing(network, keep={"rating": ("1",)})
    with pytest.raises(UnknownStateError, match="wait has no state 'soon'"):
        Drawing(network, (Question("wait", "soon"),))
