"""A chart as one small inert SVG: no browser, no script, the same bytes every time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    import altair as alt

_SVG: Final = "http://www.w3.org/2000/svg"
_VEGALITE: Final = "6.4"
# What Vega draws with. Whatever else turns up (a script, an image, a link, a foreign object) is a
# defect or an attack, and is refused rather than passed on into somebody's report.
_ELEMENTS: Final = frozenset({"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clipPath", "circle"})
_DROPPED: Final = frozenset({"class", "role", "pointer-events", "font-family", "stroke-miterlimit", "version"})
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_GEOMETRY: Final = frozenset({"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "r"})


def to_svg(chart: alt.TopLevelMixin, *, name: str) -> str:
    """Draw a chart as an SVG element that can stand inside an HTML page.

    Marks that are invisible, accessibility roles of single marks and fonts are left out (the page says
    what the chart shows and sets the font); identifiers are numbered anew under ``name``, since Vega
    numbers them on through the life of the process and two charts on one page must not share them.

    Parameters
    ----------
    chart : Altair chart
        The chart.
    name : str
        Unique name on the page, letters, digits and hyphens.

    Returns
    -------
    str
        ``<svg …>…</svg>``, with all text escaped.

    Raises
    ------
    ValueError
        If the drawing holds an element that no chart needs.
    """
    import vl_convert

    text = vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=_VEGALITE)
    return clean_svg(text, name=name)


def clean_svg(text: str, *, name: str) -> str:
    """Reduce an SVG to drawing elements, number its identifiers anew, and write it back.

    Parameters
    ----------
    text : str
        Well-formed SVG.
    name : str
        Prefix of the identifiers.

    Returns
    -------
    str
        SVG without XML declaration.

    Examples
    --------
    >>> clean_svg('<svg xmlns="http://www.w3.org/2000/svg"><text class="a" x="0.10000001">1 &lt; 2</text></svg>',
    ...           name="demo")
    '<svg xmlns="http://www.w3.org/2000/svg"><text x="0.1">1 &lt; 2</text></svg>'
    """
    root = ET.fromstring(text)  # noqa: S314
    _check(root)
    _prune(root)
    names: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            names[element.attrib["id"]] = f"{name}-{len(names) + 1}"
    for element in root.iter():
        _rewrite(element, names)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _check(root: ET.Element) -> None:
    for element in root.iter():
        tag = element.tag.removeprefix(f"{{{_SVG}}}")
        if tag not in _ELEMENTS:
            raise ValueError(f"a chart drew the element {tag!r}, which has no place in a report.")
        for attribute in element.attrib:
            if attribute.lower().startswith("on") or attribute.endswith("href") or attribute == "style":
                raise ValueError(f"a chart drew the attribute {attribute!r}, which has no place in a report.")


def _is_invisible(element: ET.Element) -> bool:
    get = element.attrib.get
    if get("display") == "none" or (get("opacity") == "0" and element.tag.endswith("text")):
        return True
    return get("class") == "background" and not (get("fill") or get("stroke"))


def _prune(parent: ET.Element) -> None:
    for child in list(parent):
        _prune(child)
        empty_group = child.tag.endswith("}g") and len(child) == 0
        if _is_invisible(child) or empty_group:
            parent.remove(child)


def _rewrite(element: ET.Element, names: dict[str, str]) -> None:
    for key, value in list(element.attrib.items()):
        if key in _DROPPED or key.startswith("aria-") or (key == "opacity" and value == "1"):
            del element.attrib[key]
        elif key == "id":
            element.attrib[key] = names[value]
        elif value.startswith("url(#"):
            element.attrib[key] = f"url(#{names[value[5:-1]]})"
        elif key in _GEOMETRY:
            element.attrib[key] = _NUMBER.sub(_round, value)


def _round(match: re.Match[str]) -> str:
    return f"{round(float(match[0]), 2) + 0.0:g}" if abs(float(match[0])) < 1e5 else match[0]
