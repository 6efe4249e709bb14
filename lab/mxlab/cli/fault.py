"""fault and heal: break something by hand, see what is broken, and make it good again."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import fault_kinds, faulty_names, open_faults
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName, not_blank
from mxlab.cli.output import say, say_json, table
from mxlab.cli.running import attached, work
from mxlab.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from mxlab.faults.open import OpenFault
    from mxlab_services.faults.base import Mechanism

LIST = "list"


def register(app: typer.Typer) -> None:
    app.command(context_settings={"ignore_unknown_options": True})(fault)
    app.command()(heal)


def fault(
    host: Annotated[
        str,
        typer.Argument(
            metavar="HOST|list", help="Where; or list them.", autocompletion=faulty_names
        ),
    ],
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="What breaks.", autocompletion=fault_kinds)
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE...]", help="As in a scenario; --NAME VALUE too."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--id", metavar="NAME", help="By what `heal` knows it.", callback=not_blank),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Break something on a host until it is healed; `mxlab fault list` shows what is broken.

    For example: mxlab fault mx1 refuse; mxlab fault mx1 reply verb=RCPT code=451 first=2;
    mxlab fault dns dns-servfail example.test. A fault inside a node ends with the node's life.
    """
    if host == LIST and kind is None:
        work(_list(lab, json))
        return
    if kind is None:
        from mxlab.faults import CATALOGUE

        raise UsageError(f"say what breaks on {host}", f"one of {', '.join(CATALOGUE)}")
    work(_inject(lab, read_fault(host, kind, parameters or []), name, json))


def read_fault(host: str, kind: str, words: list[str]) -> "Mechanism":
    """The fault in these words. Raises UsageError for what makes none."""
    import typing

    import msgspec

    from mxlab.faults import fault_called
    from mxlab.scenario.steps import read_mechanism
    from mxlab.scenario.yaml import parse

    mechanism = fault_called(kind).mechanism
    lists = {
        field.encode_name
        for field in msgspec.structs.fields(mechanism)
        if "tuple" in str(field.type) or typing.get_origin(field.type) is tuple
    }
    lines = [f"host: {host}"]
    for key, value in _pairs(words, mechanism.short):
        listed = key in lists and not value.startswith("[")
        lines.append(f"{key}: {f'[{value}]' if listed else value}")
    try:
        return read_mechanism(parse("\n".join(lines), ""), mechanism)
    except ScenarioError as error:
        raise error.placeless(kind) from error


def _pairs(words: list[str], short: str) -> list[tuple[str, str]]:
    """NAME=VALUE, --NAME=VALUE, --NAME VALUE; a value alone is that of `short`."""
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals and word.startswith("--"):
            if not rest:
                raise UsageError(f"{word} needs a value", f"{word}=VALUE")
            value = rest.pop(0)
        elif not equals:
            if short == "host":
                raise UsageError(f"{word!r} is no NAME=VALUE")
            key, value = short, word
        pairs.append((key, value))
    return pairs


async def _inject(lab_name: str, mechanism: "Mechanism", name: str | None, json: bool) -> None:
    from mxlab.operate.faults import break_something

    async with attached(lab_name) as lab:
        chosen = await break_something(lab, mechanism, name)
    if json:
        say_json({"id": chosen, "host": mechanism.host, "fault": mechanism.kind})
    else:
        say(f"{mechanism} is in effect; `mxlab heal {chosen}` undoes it")


async def _list(lab_name: str, json: bool) -> None:
    from mxlab.faults.open import open_faults

    async with attached(lab_name) as lab:
        found = await open_faults(lab)
    if json:
        say_json(
            [
                {"id": s.name, "host": s.host, "fault": s.kind, "parameters": s.parameters,
                 "struck": s.struck}
                for s in found
            ]
        )  # fmt: skip
    elif not found:
        say("nothing is broken")
    else:
        table(
            ("ID", "HOST", "FAULT", "STRUCK"),
            [(s.name, s.host, _words(s), "-" if s.struck is None else s.struck) for s in found],
        )


def _words(broken: "OpenFault") -> str:
    return " ".join([broken.kind, *(f"{name}={v}" for name, v in broken.parameters.items())])


def heal(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|NODE...]",
            help="Which, or where: `mxlab fault list`.",
            autocompletion=open_faults,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is broken.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Undo faults: by their ids, or by a node's name all that is broken there."""
    if bool(names) == everything:
        raise UsageError("name faults, or say --all", "`mxlab fault list` shows them")
    work(_heal(lab, names or [], json))


async def _heal(lab_name: str, names: list[str], json: bool) -> None:
    from mxlab.operate.faults import undo

    async with attached(lab_name) as lab:
        healed = await undo(lab, names)
    if json:
        say_json([{"id": s.name, "host": s.host, "fault": s.kind} for s in healed])
        return
    for one in healed:
        say(f"{one.name}: {one.kind} at {one.host}, undone")
    if not healed:
        say("nothing was broken")
