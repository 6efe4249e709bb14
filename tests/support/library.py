"""The library over the products: each scenario with each product in each part that it can play,
and what is known to come of it.

`library.toml` beside the nightly test has what does not simply pass, with its reason; what is
refused, the code says. `python -m tests.support.library` writes docs/library.md of both.
"""

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from mxlab.backends.registry import backend_named
from mxlab.errors import Unsupported
from mxlab.model.scenario import Scenario
from mxlab.model.software import OURS, SOFTWARE
from mxlab.plan.software import with_software
from mxlab.scenario.load import load, scenario_ids
from mxlab.scenario.refusal import refuse
from mxlab_services.config import Software

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "library.md"
DATA = ROOT / "tests" / "e2e" / "library.toml"
HOSTS = ("mx1", "mx2", "client")  # a primary, a backup, a sender
PRODUCTS: tuple[Software, ...] = tuple(name for name in SOFTWARE if name != OURS)
Comes = Literal["pass", "differs", "unknown", "unsupported"]


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes of some runs, and why: `differs` by a rule that leaves it open, or that the
    product breaks; `unknown` for what it does not tell. `sometimes`: it may also pass. `slow`: it
    takes more than two minutes, and is not run."""

    scenario: str
    hosts: tuple[str, ...]
    products: tuple[Software, ...]
    comes: Literal["pass", "differs", "unknown"]
    why: str
    sometimes: bool = False
    slow: bool = False


class LibraryCase(msgspec.Struct, frozen=True):
    """A scenario with a product in one part, and what is known of it; `why` it does not pass."""

    scenario: str
    host: str
    product: Software
    comes: Comes
    why: str = ""
    sometimes: bool = False
    slow: bool = False

    def story(self) -> Scenario:
        return over(load(self.scenario), self.host, self.product)


def over(scenario: Scenario, host: str, product: str) -> Scenario:
    """The same story where the host is that product."""
    return replace(scenario, topology=with_software(scenario.topology, {host: product}))


def known() -> list[Known]:
    """What does not simply pass, by the data."""
    return msgspec.convert(tomllib.loads(DATA.read_text(encoding="utf-8"))["known"], list[Known])


@cache
def cases() -> tuple[LibraryCase, ...]:
    """All, in the order of the page. Left out are scenarios that have their products already."""
    return tuple(_cases())


def _cases() -> Iterator[LibraryCase]:
    told = {
        (one.scenario, host, product): one
        for one in known()
        for host in one.hosts
        for product in one.products
    }
    for name in scenario_ids():
        scenario = load(name)
        if set(scenario.topology.software.values()) != {OURS}:
            continue
        for product in PRODUCTS:
            for host in (*HOSTS, *(relay.host for relay in scenario.topology.relays)):
                if host not in scenario.topology.software:
                    continue
                if why := _refused(over(scenario, host, product)):
                    yield LibraryCase(name, host, product, "unsupported", why)
                elif one := told.get((name, host, product)):
                    yield LibraryCase(
                        name, host, product, one.comes, one.why, one.sometimes, one.slow
                    )
                else:
                    yield LibraryCase(name, host, product, "pass")


def _refused(scenario: Scenario) -> str:
    try:
        refuse(scenario, backend_named("docker"))
    except Unsupported as error:
        return str(error)
    return ""


# --- the page -------------------------------------------------------------------------------------

_HEAD = """# The library over the products

Made by `python -m tests.support.library`. Every scenario was run on Docker with each product as the
primary (`mx1`), as the backup (`mx2`), as the sending client and as a relay. `make library` runs
them again and holds what comes of each against this table. Those that have their products already
([products.md](products.md#settings-of-its-own)) are left out.

- **pass**: the story goes as it is told, and all checks pass.
- **differs**: the product does something else, where a rule leaves it open, or against one.
- **unknown**: the product does not tell what a step or a check rests on.
- **no**: unsupported, said before anything starts.
- **-**: the scenario has no such host.

"""


def page() -> str:
    """docs/library.md."""
    by_place = {(one.scenario, one.host, one.product): one for one in cases()}
    names = dict.fromkeys(one.scenario for one in cases())
    columns = [(product, host) for product in PRODUCTS for host in HOSTS]
    head = ["scenario", *(f"{SOFTWARE[product].title} {host}" for product, host in columns)]
    rows = [
        [f"`{name}`", *(_cell(by_place.get((name, host, product))) for product, host in columns)]
        for name in names
    ]
    text = _HEAD + _table(head, rows) + _of_relays() + f"\n{_tally()}\n"
    text += "\n## What differs\n\n"
    told = [one for one in known() if one.comes == "differs"]
    text += _table(["scenario", "where", "what it does, and the rule"], map(_row, told))
    text += "\n## What is unknown\n\n"
    untold = [one for one in known() if one.comes == "unknown"]
    text += _table(["scenario", "where", "what is not told"], map(_row, untold))
    text += "\n## What cannot be\n\n"
    reasons: dict[str, dict[str, None]] = {}
    for one in cases():
        if one.comes == "unsupported":
            reasons.setdefault(_general(one), {})[f"`{one.scenario}`"] = None
    text += _table(["why", "scenarios"], [[why, ", ".join(s)] for why, s in reasons.items()])
    return text


def _of_relays() -> str:
    relays = dict.fromkeys((o.scenario, o.host) for o in cases() if o.host not in HOSTS)
    found = {(one.scenario, one.host, one.product): one for one in cases()}
    rows = [
        [f"`{name}`: {host}", *(_cell(found.get((name, host, product))) for product in PRODUCTS)]
        for name, host in relays
    ]
    head = ["as the relay", *(SOFTWARE[product].title for product in PRODUCTS)]
    return f"\n{_table(head, rows)}"


def _cell(case: LibraryCase | None) -> str:
    if case is None:
        return "-"
    return "no" if case.comes == "unsupported" else case.comes


def _row(one: Known) -> list[str]:
    products = ", ".join(SOFTWARE[product].title for product in one.products)
    may = " Or it passes, as its dice or the clock have it." if one.sometimes else ""
    slow = " (Takes more than two minutes; not run.)" if one.slow else ""
    return [f"`{one.scenario}`", f"{products}: {', '.join(one.hosts)}", f"{one.why}{may}{slow}"]


def _general(case: LibraryCase) -> str:
    """The reason without the names of host and product."""
    title = SOFTWARE[case.product].title
    return case.why.replace(f"{title} on {case.host}", "a product").replace(
        f"{case.host} runs {case.product}", "a host runs another product"
    )


def _tally() -> str:
    count = {comes: sum(one.comes == comes for one in cases()) for comes in get_args(Comes)}
    told = ", ".join(f"{number} {comes}" for comes, number in count.items())
    return f"{len(cases())} runs: {told}."


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("| --- ", "|---")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
