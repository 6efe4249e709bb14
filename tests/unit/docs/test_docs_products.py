"""docs/products.md has the tables that the code gives."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mxlab.backends.docker.products import MAIL_SERVERS
from mxlab.backends.docker.shape import RIGHTS
from mxlab.model.software import OURS, SOFTWARE

PAGE = (Path(__file__).parents[3] / "docs" / "products.md").read_text(encoding="utf-8")
PRODUCTS = {name: entry for name, entry in SOFTWARE.items() if name != OURS}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("| --- ", "|---")


def rights() -> str:
    packages = {product.name: product.packages for product in MAIL_SERVERS}
    rows = [
        (f"`{name}`", entry.title, f"`{' '.join(packages[name])}`",
         f"`{RIGHTS[name].user}`", " ".join(RIGHTS[name].capabilities) or "none")
        for name, entry in PRODUCTS.items()
    ]  # fmt: skip
    return table(("`software`", "product", "package", "user", "capabilities"), rows)


def untold() -> str:
    every = dict.fromkeys(what for entry in PRODUCTS.values() for what in entry.untold)
    rows = [
        (f"`{what}`", next(e.untold[what] for e in PRODUCTS.values() if what in e.untold),
         *("" if entry.tells(what) else "not told" for entry in PRODUCTS.values()))
        for what in every
    ]  # fmt: skip
    titles = (entry.title for entry in PRODUCTS.values())
    return table(("event, or a field of it", "it does not tell", *titles), rows)


def unable() -> str:
    every = dict.fromkeys(kind for entry in PRODUCTS.values() for kind in entry.unable)
    rows = [
        (kind, next(e.unable[kind] for e in PRODUCTS.values() if kind in e.unable),
         *("unsupported" if kind in entry.unable else "" for entry in PRODUCTS.values()))
        for kind in every
    ]  # fmt: skip
    return table(("fault or step", "why", *(entry.title for entry in PRODUCTS.values())), rows)


@pytest.mark.parametrize("made", [rights, untold, unable], ids=lambda made: str(made.__name__))
def test_the_table_is_what_the_code_says(made: Callable[[], str]) -> None:
    name = made.__name__
    found = PAGE.partition(f"<!-- {name}: begin -->\n")[2].partition(f"<!-- {name}: end -->")[0]
    assert found == made()
