"""Whatever the log's strings hold, the page holds text: no script, no request, no attribute that was not meant."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tests.report.conftest import HOSTILE_COLUMN, HOSTILE_KIND, HOSTILE_NOTE, HOSTILE_TITLE, PAYLOADS

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "nav", "h1", "h2", "h3", "p",
    "strong", "span", "ul", "ol", "li", "a", "div", "figure", "figcaption", "table", "caption", "thead", "tbody", "tr", "th",
    "td", "dl", "dt", "dd", "code",
    "svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clippath", "circle",
}  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts = set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_only_tags_that_the_templates_and_charts_use(page):
    assert page.tags <= TAGS


def test_no_handlers_styles_or_sources(page):
    names = {name for _, name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"style", "src", "srcset", "action", "formaction", "data", "xlink:href", "background"}


def test_links_stay_in_the_page(page):
    targets = {value for _, name, value in page.attributes if name == "href"}
    assert targets
    assert all(re.fullmatch(r"#[a-z-]+", target) for target in targets)
    ids = {value for _, name, value in page.attributes if name == "id"}
    assert {target[1:] for target in targets} <= ids


def test_no_attribute_holds_an_address(page):
    addresses = {value for _, name, value in page.attributes if "://" in value and name != "aria-label"}
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not [value for _, name, value in page.attributes if name != "aria-label" and "javascript:" in value]


def test_identifiers_are_unique(page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("payload", PAYLOADS, ids=[f"payload {k}" for k in range(len(PAYLOADS))])
def test_a_payload_is_text_or_absent(html, page, payload):
    if "<" in payload:
        assert payload not in html
    shown = re.sub("[\u2028\u2029\u202e]", "\ufffd", payload)
    assert any(shown in text for text in page.texts), "the payload should be seen, as text"


@pytest.mark.parametrize("text", [HOSTILE_TITLE, HOSTILE_NOTE, HOSTILE_KIND, HOSTILE_COLUMN])
def test_title_note_kind_and_column_are_text(html, page, text):
    assert text not in html
    assert any(text in shown or text.lower() in shown.lower() for shown in page.texts)


def test_nothing_was_evaluated(page):
    assert "49" not in [text.strip() for text in page.texts]
    assert any("{{7*7}}" in text for text in page.texts)


def test_separators_and_controls_are_gone(html):
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u2028\u2029\u202a-\u202e]", html)


def test_policy_allows_the_style_sheet_and_nothing_else(html):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    css = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    rules = [rule.strip() for rule in policy.replace("&#39;", "'").split(";")]
    assert rules == ["default-src 'none'", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'"]
    assert html.count("<style") == 1
    assert html.index("Content-Security-Policy") < html.index("<style")


def test_templates_escape_by_default_and_forget_nothing():
    from jinja2 import UndefinedError

    from churnsurv.report.html import _environment

    environment = _environment()
    assert environment.from_string("{{ x }}").render(x="<b>\x00") == "&lt;b&gt;\ufffd"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ missing }}").render()
