"""explain: what the words of mail mean, and those of mxlab."""

import functools
import re
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import say, say_json, say_line
from mxlab.cli.running import attached, work
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from mxlab.glossary.look_up import Explained
    from mxlab.model.topology import Topology


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    term: Annotated[
        list[str] | None,
        typer.Argument(metavar="TERM", help="A word of mail, a code, a check, a fault ..."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="All words that are known.")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="With the names of the lab that is up.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The whole glossary as a page.")
    ] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Explain a term of mail, a reply code (451), an enhanced code (4.4.1), or a word of mxlab's.

    A folder of your own entries stands beside ours where MXLAB_GLOSSARY names it.
    """
    from mxlab.glossary.entry import entries, own_folder
    from mxlab.glossary.look_up import explain as meanings
    from mxlab.glossary.look_up import known
    from mxlab.glossary.page import markdown as page

    if sum((bool(term), listed, markdown)) != 1:
        raise UsageError("name one term, or say --list", "as in `mxlab explain mx-record`")
    glossary = entries(own_folder())
    if markdown:
        say(page(glossary).rstrip("\n"))
        return
    stories = _titles()
    if listed:
        words = known(glossary, stories)
        if json:
            say_json(words)
        else:
            for word in words:
                say(word)
        return
    found = meanings(" ".join(term or ()), glossary, stories)
    if here:
        work(_tell_here(found, lab, json))
    else:
        _tell(found, json)


@functools.cache
def _titles() -> dict[str, str]:
    """The scenarios that ship, by id. What stands in one line is read without the whole story."""
    import yaml

    from mxlab.scenario.load import find, load, scenario_ids

    def title(name: str) -> str:
        line = re.search(r"^title: (?![|>]).+$", find(name).read_text(encoding="utf-8"), re.M)
        return str(yaml.safe_load(line[0])["title"]) if line else load(name).title

    return {name: title(name) for name in scenario_ids()}


async def _tell_here(found: "list[Explained]", lab_name: str, json: bool) -> None:
    from mxlab.glossary.look_up import Explained

    async with attached(lab_name) as lab:
        names = _names(lab.topology)
    put = (tuple(_put(line, names) for line in one.lines) for one in found)
    _tell([Explained(one.title, lines) for one, lines in zip(found, put, strict=True)], json)


def _tell(found: "list[Explained]", json: bool) -> None:
    if json:
        say_json([{"title": one.title, "lines": list(one.lines)} for one in found])
        return
    for number, one in enumerate(found):
        if number:
            say()
        say_line(one.title, mark="title")
        for line in one.lines:
            say_line(f"  {line}", hang=4)


def _names(topology: "Topology") -> dict[str, str]:
    """A name of the default lab -> the name here."""
    given = {"example.test": topology.domain, "client.test": topology.client_domain}
    given |= {"mx1": topology.primaries[0], "client": topology.client, "dns": topology.dns_host}
    return given | ({"mx2": topology.backups[0]} if topology.backups else {})


def _put(line: str, names: dict[str, str]) -> str:
    """The commands of an entry, with the names here."""
    if not line.startswith("$ "):
        return line
    pattern = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{pattern})(?![\w-])", lambda match: names[match[0]], line)
