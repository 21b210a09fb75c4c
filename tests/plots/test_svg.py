import re
from xml.etree import ElementTree as ET

import altair as alt
import pandas as pd
import pytest

from churnsurv.plots.labels import clean_text, column_label, plural
from churnsurv.plots.style import finish
from churnsurv.plots.svg import clean_svg, to_svg
from churnsurv.tables.churn import Silence
from churnsurv.tables.features import Count, Drop, Maximum, Mean, Recency, Rhythm, Value
from churnsurv.tables.schema import CellSchema, PatternColumn

SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</text></svg><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "&lt;b&gt; & <b>",
    "{{7*7}}",
]


def chart(texts):
    data = pd.DataFrame({"x": range(len(texts)), "text": texts})
    base = alt.Chart(data).encode(x="x:Q", y=alt.Y("text:N", title=texts[0]))
    return finish(
        (base.mark_point(clip=True) + base.mark_text(clip=True).encode(text="text:N")).properties(title=texts[0])
    )


def test_text_is_escaped_wherever_it_stands():
    svg = to_svg(chart(HOSTILE), name="h")
    assert "<script" not in svg
    assert "<img" not in svg
    root = ET.fromstring(svg)  # noqa: S314
    drawn = {element.text for element in root.iter() if element.text}
    assert set(HOSTILE) <= drawn
    names = {re.sub(r"\{.*\}", "", element.tag) for element in root.iter()}
    assert names <= {"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clipPath", "circle"}


def test_same_chart_same_bytes_although_vega_counts_on():
    assert to_svg(chart(["a", "b"]), name="n") == to_svg(chart(["a", "b"]), name="n")


def test_identifiers_are_named_after_the_chart():
    svg = to_svg(chart(["a", "b"]), name="mine")
    names = re.findall(r' id="([^"]*)"', svg)
    assert names
    assert all(name.startswith("mine-") for name in names)
    assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= set(names)


def test_nothing_that_loads_or_runs():
    svg = to_svg(chart(["a", "b"]), name="n")
    assert "href" not in svg
    assert "style=" not in svg
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize(
    "inside",
    ["<script>1</script>", "<foreignObject/>", '<image href="http://x"/>', "<a/>", "<style>p{}</style>", "<use/>"],
)
def test_foreign_elements_are_refused(inside):
    with pytest.raises(ValueError, match="no place in a report"):
        clean_svg(SVG.format(inside), name="n")


@pytest.mark.parametrize("attribute", ['onclick="x"', 'ONLOAD="x"', 'href="x"', 'style="x"'])
def test_foreign_attributes_are_refused(attribute):
    with pytest.raises(ValueError, match="no place in a report"):
        clean_svg(SVG.format(f"<path {attribute}/>"), name="n")


def test_invisible_parts_are_left_out_and_numbers_rounded():
    drawn = SVG.format('<g><path display="none"/></g><text opacity="0">x</text><path d="M0.123456,-0.000001L1e-7,2"/>')
    assert clean_svg(drawn, name="n") == SVG.format('<path d="M0.12,0L1e-7,2" />')


@pytest.mark.parametrize("text", ["a\x00b", "a\x0bb", "a\u2028b", "a\u202eb", "a\ud800b", "a\ufeffb"])
def test_undrawable_characters_become_visible(text):
    assert clean_text(text) == "a\ufffdb"


def test_long_names_are_cut():
    assert clean_text("x" * 500) == "x" * 119 + "…"


def test_columns_in_words():
    features = (
        Count("order", days=90), Rhythm("order", days=90), Value("order", "Revenue", name="revenue"),
        Value("order", "Country", name="country"), Mean("review", "rating", days=30),
        Maximum("ticket", "wait_hours", days=30), Drop("review", "rating", recent=30, before=90), Recency("visit", days=60),
    )  # fmt: skip
    columns = (PatternColumn("revenue", ("low", "high"), (0, 1, 2)), PatternColumn("country", ("UK",)))
    schema = CellSchema(Silence(("order",), 90), (0.0, 90.0), columns, features)
    assert [column_label(schema, feature.name) for feature in features] == [
        "orders in the last 90 days",
        "days between orders, over the last 90 days",
        "Revenue of the last order",
        "Country",
        "mean rating of reviews in the last 30 days",
        "largest wait_hours of tickets in the last 30 days",
        "fall of rating in the last 30 days, against the 90 days before",
        "days since the last visit",
    ]
    assert column_label(schema, "anything else") == "anything else"


def test_plural_of_a_vowel_and_y():
    assert plural("stay") == "stays"
