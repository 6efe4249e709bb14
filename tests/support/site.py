"""The documentation as a site: the same Markdown, made into pages by Zensical.

    python -m tests.support.site site

Nothing is fetched, neither to make it nor to look at it. The pages lie as in the repository, so
that their links hold; a link to what is no page (a folder, a program) becomes plain text.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.markdown_links import links

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", "docs/*.md", "scenarios/*/README.md")
PICTURES = ("docs/pictures/*",)
FIRST = ("README.md", "docs/flow.md", "docs/learn.md", "docs/scenarios.md")
LAST = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
CONFIG = """\
[project]
site_name = "mxlab"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = {nav}

[project.theme]
font = false
features = ["navigation.top", "navigation.indexes", "navigation.prune"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"

[project.markdown_extensions.toc]
slugify = {{object = "pymdownx.slugs.slugify", kwds = {{case = "lower"}}}}
[project.markdown_extensions.tables]
[project.markdown_extensions.attr_list]
[project.markdown_extensions.md_in_html]
[project.markdown_extensions.pymdownx.superfences]
[project.markdown_extensions.pymdownx.highlight]
"""


def build(to: Path) -> None:
    """Make the site anew in that folder. Raises SystemExit where Zensical finds something wrong."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pages = gathered(work / "pages")
        (work / "zensical.toml").write_text(CONFIG.format(nav=_nav(pages)), encoding="utf-8")
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        ran = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if ran.returncode or not (work / "site" / "index.html").is_file():
            raise SystemExit(f"zensical: {ran.returncode}\n{ran.stdout}{ran.stderr}")
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(work / "site", to)


def gathered(folder: Path) -> dict[str, str]:
    """Put all pages and pictures there; each page's path, and its title."""
    sources = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    pictures = {path for pattern in PICTURES for path in ROOT.glob(pattern)}
    known = {path.resolve() for path in (*sources, *pictures)}
    titles = {}
    for source in sources:
        text = source.read_text(encoding="utf-8")
        name = source.relative_to(ROOT).as_posix()
        titles[name] = _title(text) or name
        _write(folder / name, _without_strays(text, source, known))
    for picture in pictures:
        _write(folder / picture.relative_to(ROOT), picture.read_text(encoding="utf-8"))
    return titles


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return re.sub(r"[`*]", "", found[1]) if found else ""


def _without_strays(text: str, source: Path, known: set[Path]) -> str:
    """The page without its links to what the site does not have."""
    for link in links(text):
        name = link.target.partition("#")[0]
        if not name or ":" in name or (source.parent / name).resolve() in known:
            continue
        text = re.sub(rf"\[([^\]\n]*)\]\({re.escape(link.target)}\)", r"\1", text)
    return text


def _nav(titles: Mapping[str, str]) -> str:
    """The pages in their order: the tour, the docs, the lessons, what is about the project."""
    docs = [page for page in titles if page.startswith("docs/") and page not in FIRST]
    lessons = [page for page in titles if page.startswith("scenarios/")]

    def listed(pages: Sequence[str]) -> str:
        named = ((json.dumps(titles[page], ensure_ascii=False), json.dumps(page)) for page in pages)
        return ", ".join(f"{{{title} = {page}}}" for title, page in named)

    return (
        f'[{listed(FIRST)}, {{"Reference" = [{listed(docs)}]}}, '
        f'{{"Lessons" = [{listed(lessons)}]}}, {{"The project" = [{listed(LAST)}]}}]'
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]))
