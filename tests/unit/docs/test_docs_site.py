"""The documentation site: made offline of the same Markdown, and whole."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.browser import Browser
from tests.support.site import ROOT, build, gathered

pytest.importorskip("zensical", reason="zensical has no wheel for this machine")


class Page(HTMLParser):
    """What a page refers to, what it fetches, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.fetched += [given[name] for name in ("src", "srcset", "data") if name in given]
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(given.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "site"
    build(folder)
    return folder


def test_every_page_is_there(site: Path, tmp_path: Path) -> None:
    for page in gathered(tmp_path):
        made = page.removesuffix(".md") + ".html"
        name = made if "README" not in page else str(Path(page).parent / "index.html")
        assert (site / name).is_file(), page


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def astray(read: dict[Path, Page]) -> list[str]:
    """Links within the site that lead nowhere, and whatever is fetched from elsewhere."""
    wrong = []
    for path, page in read.items():
        for target in page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            anchor = unquote(parts.fragment)
            if there not in read:
                wrong += [] if there.is_file() else [f"{path.name}: {target}: no such page"]
            elif anchor and anchor not in read[there].ids:
                wrong.append(f"{path.name}: {target}: no such heading")
        wrong += [f"{path.name}: fetches {one}" for one in page.fetched if "//" in one]
    return wrong


def test_its_links_lead_somewhere_and_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    read = pages(site)
    assert len(read) > 100
    assert astray(read) == []


def test_this_check_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text('<p id="x"><a href="#x"><a href="#y"><a href="b.html"><script src="//c/d">')
    assert astray(pages(tmp_path)) == [
        "a.html: #y: no such heading",
        "a.html: b.html: no such page",
        "a.html: fetches //c/d",
    ]


def test_a_browser_asks_nobody_else_and_finds_no_error(site: Path, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        for page in ("index.html", "docs/map.html"):
            browser.open(site / page)
            assert browser.evaluate("document.querySelector('h1').textContent.trim().length") > 0
            outside = [url for url in browser.requests if not url.startswith(("file:", "data:"))]
            assert outside == []
            assert browser.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


def test_a_link_to_what_is_no_page_becomes_text(tmp_path: Path) -> None:
    gathered(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "](lab/)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](lab/)" not in text
    assert "The lab, lab/, starts" in " ".join(text.split())
