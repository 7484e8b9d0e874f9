"""Articles: Markdown files with front matter, read and rendered.

Promises HTML made of our own files alone. Knows no request: the reader's base URL stands as `BASE_URL_MARK`.
"""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

BASE_URL_MARK = "BASE_URL_OF_READER"

_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_SNIPPET = re.compile(r'^\{\{ snippet "([a-z0-9_]+/[A-Za-z0-9_.]+)" \}\}$', re.MULTILINE)
_LANGUAGES = {"py": "python", "js": "js", "mjs": "js", "php": "php", "java": "java", "go": "go", "sh": "sh"}
_ROOM = files("omnilab.helpcenter")


class Section(NamedTuple):
    """A heading of the second level, for "on this page"."""

    anchor: str
    title: str


class Article(NamedTuple):
    """One page, rendered. `text` is what the search looks through."""

    slug: str
    title: str
    summary: str
    order: int
    sections: list[Section]
    html: str
    text: str


def read_articles() -> list[Article]:
    """All articles in the order in which they are read. Raises ValueError when one is not well formed."""
    found = [_read(each) for each in (_ROOM / "articles").iterdir() if each.name.endswith(".md")]
    return sorted(found, key=lambda article: article.order)


def with_snippets(source: str) -> str:
    """Put each file that the source names as `{{ snippet "folder/file" }}` into a fenced block."""

    def block(match: re.Match[str]) -> str:
        path = match[1]
        language = _LANGUAGES[path.rpartition(".")[2]]
        return f"```{language} snippet\n{(_ROOM / 'snippets' / path).read_text().rstrip()}\n```"

    return _SNIPPET.sub(block, source)


def _read(file: Traversable) -> Article:
    source = file.read_text()
    front = _FRONT_MATTER.match(source)
    if front is None:
        raise ValueError(f"{file.name} does not begin with front matter")
    named = dict(line.split(": ", 1) for line in front[1].splitlines())
    body = with_snippets(source[front.end() :])
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(body.replace("{{ base_url }}", BASE_URL_MARK))
    sections = _anchored(tokens)
    _reachable(tokens)
    html = markdown.renderer.render(tokens, markdown.options, {})
    text = " ".join(token.content for token in tokens if token.type == "inline").replace(BASE_URL_MARK, "")
    return Article(
        file.name.removesuffix(".md"), named["title"], named["summary"], int(named["order"]), sections, html, text
    )


def _anchored(tokens: list[Token]) -> list[Section]:
    sections = []
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open" and heading.tag == "h2":
            anchor = re.sub(r"[^a-z0-9]+", "-", inline.content.lower()).strip("-")
            heading.attrSet("id", anchor)
            sections.append(Section(anchor, inline.content.replace("`", "")))
    return sections


def _reachable(tokens: list[Token]) -> None:
    """Code that scrolls can be reached by keyboard (WCAG 2.1.1), so it becomes a focusable group."""
    for token in tokens:
        if token.type == "fence":
            language = token.info.split(" ")[0]
            token.type = "html_block"
            token.content = (
                f'<pre tabindex="0" role="group" aria-label="Code: {escape(language)}">'
                f"<code>{escape(token.content)}</code></pre>\n"
            )
