"""The links of Markdown pages, and what they lead to: files, and headings by GitHub's anchors."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_CODE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$|(?<!`)(`+)(?!`).+?(?<!`)\2(?!`)", re.M | re.S)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)|\b(?:src|href)=\"([^\"]*)\"")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]^]+\]:\s*<?(\S+?)>?\s*$", re.M)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.M)
_NAMED = re.compile(r"<\w+[^>]*\s(?:id|name)=\"([^\"]+)\"")


class PageLink(NamedTuple):
    """One link, where it stands."""

    line: int
    target: str


def links(text: str) -> Iterator[PageLink]:
    """The targets of a page's links and pictures, but for what stands in code."""
    plain = _CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for pattern in (_LINK, _REFERENCE):
        for found in pattern.finditer(plain):
            target = next((group for group in found.groups() if group is not None), "")
            yield PageLink(plain.count("\n", 0, found.start()) + 1, target)


def anchors(text: str) -> set[str]:
    """What a link may name behind `#`: each heading in GitHub's way, the second of a name with a
    number behind it, and what bears an id."""
    fenced = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.M | re.S)
    plain = fenced.sub("", text)
    found: set[str] = set(_NAMED.findall(plain))
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(plain):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken(page: Path, root: Path) -> list[str]:
    """Each link of the page that leads nowhere: to no file below `root`, or to no heading."""
    wrong = []
    for line, target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            if not re.match(r"(https?://[\w.-]+\.[a-z]{2,}(/|$|#)|mailto:.+@)", target):
                wrong.append(f"{page.name}:{line}: {target}: no address")
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / unquote(name)).resolve() if name else page.resolve()
        if not target or not there.is_relative_to(root.resolve()) or not there.exists():
            wrong.append(f"{page.name}:{line}: {target}: there is no such file")
        elif anchor and there.suffix == ".md" and unquote(anchor) not in _anchors_of(there):
            wrong.append(f"{page.name}:{line}: {target}: there is no such heading")
    return wrong


@cache
def _anchors_of(page: Path) -> set[str]:
    return anchors(page.read_text(encoding="utf-8"))
