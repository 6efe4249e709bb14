"""Every link in the README, the docs and the lessons leads somewhere, to headings too."""

from pathlib import Path

import pytest

from tests.support.markdown_links import anchors, broken, links

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "scenarios/*/*.md", ".github/*.md", "compose/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_somewhere(page: Path) -> None:
    assert broken(page, ROOT) == []


def test_the_pages_are_there() -> None:
    assert {ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs/map.md"} <= set(PAGES)
    assert sum(page.parent.parent.name == "scenarios" for page in PAGES) > 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a](none.md)", "no such file"),
        ("\n\n[a](other.md#none)", "page.md:3: other.md#none: there is no such heading"),
        ("[a](#none)", "no such heading"),
        ("![a](none.svg)", "no such file"),
        ('<img src="none.svg">', "no such file"),
        ("[a](../outside.md)", "no such file"),
        ("[a]()", "no such file"),
        ("[a](http:/x)", "no address"),
        ("[a]: none.md", "no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "other.md").write_text("# Other\n")
    (tmp_path / "page.md").write_text(text)
    (wrong,) = broken(tmp_path / "page.md", tmp_path)
    assert says in wrong


def test_what_leads_somewhere_or_is_code_is_not(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Other: *words*, `code`\n## Twice\n## Twice\n")
    good = "[a](other.md#other-words-code) [b](other.md#twice-1) [c](https://example.com/x)"
    (tmp_path / "page.md").write_text(f"{good}\n`[d](none)`\n```\n[e](none)\n```\n[f]( other.md )")
    assert broken(tmp_path / "page.md", tmp_path) == []


def test_links_and_anchors_are_read() -> None:
    assert [link.target for link in links('[a](b.md "title") ![c](<d.svg>)')] == ["b.md", "d.svg"]
    assert anchors('# A [link](x.md) & more\n<a id="here"></a>') == {"a-link--more", "here"}
