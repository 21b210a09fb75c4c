"""Turn LaTeX into MathML while the pages are built: formulas show offline, without a script.

Docstrings carry the roles of numpydoc (``:math:``, ``:meth:``); they are turned here too.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)
_ROLE_MATH = re.compile(r":math:<code>(.*?)</code>", re.S)
_DIRECTIVE = re.compile(r"<p>\s*\.\. math:: (.*?)</p>", re.S)
_ROLE = re.compile(r":(?:meth|class|func|data|attr|doc):(?=<code>)")
_ESCAPED = re.compile(r"\\([{}_])(?=[^<>]*<)")
_TAG = re.compile(r"\\tag\{([^}]*)\}")


def _math(text: str, display: str = "inline") -> str:
    """MathML of a formula; the converter leaves the backslash before a brace or an underscore standing."""
    return _ESCAPED.sub(r"\1", convert(html.unescape(text), display=display))


def _block(match: re.Match[str]) -> str:
    text = match.group(1)
    number = _TAG.search(text)
    label = f'<span class="equation-number">({number.group(1)})</span>' if number else ""
    formula = f'<div style="flex:1">{_math(_TAG.sub("", text), "block")}</div>'
    return f'<div class="equation" style="display:flex;align-items:center">{formula}{label}</div>'


def on_page_content(content: str, **_: Any) -> str:
    """Replace every formula of a page."""
    content = _ROLE_MATH.sub(lambda match: _math(match.group(1)), content)
    content = _DIRECTIVE.sub(_block, content)
    content = _ROLE.sub("", content).replace("<code>~", "<code>")
    content = _INLINE.sub(lambda match: _math(match.group(1)), content)
    return _BLOCK.sub(_block, content)
