"""logs: the nodes' lives, as lines that a postmaster reads; or their events, or their errors."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import machine_names
from mxlab.cli.options import DEFAULT_LAB, LabName
from mxlab.cli.output import note, say_json_text, say_line, stamp
from mxlab.cli.running import attached, imap_servers, machine_called, work
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab_services.events import Event

HANG = 8  # columns by which a line that is too long goes on


def register(app: typer.Typer) -> None:
    app.command()(logs)


def logs(
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE...]", autocompletion=machine_names)
    ] = None,
    lab: LabName = DEFAULT_LAB,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", metavar="N", min=0, help="The last N lines only.")
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="The events themselves, as JSON lines.")
    ] = False,
    stderr: Annotated[
        bool,
        typer.Option(
            "--stderr",
            help="What the programs wrote to standard error instead.",
        ),
    ] = False,
) -> None:
    """Show what nodes did, a line each: time (of the lab, UTC), node, queue id, what happened.

    Works for nodes that are down, too. Of another product, [log], [queue] or [proxy] says from
    where it is known. Of an IMAP server: Dovecot's own log.
    """
    if events and stderr:
        raise UsageError("--events and --stderr are two different things", "give one of them")
    work(_logs(nodes or [], lab, follow, lines, events, stderr))


async def _logs(
    names: list[str], lab_name: str, follow: bool, last: int | None, events: bool, stderr: bool
) -> None:
    import asyncio

    async with attached(lab_name) as lab:
        for name in names:
            machine_called(lab, name)
        chosen = names or list(lab.nodes)
        width = max(len(name) for name in chosen)
        beside = [name for name in names if name in imap_servers(lab)]
        if beside and not stderr and (events or len(beside) < len(names)):
            raise UsageError(
                f"{beside[0]} tells no events: Dovecot has a log of its own",
                f"`mxlab logs {' '.join(beside)}`",
            )
        stderr = stderr or bool(beside)
        if stderr:
            copies = [_stderr(lab, name, width, follow, last) for name in chosen]
            if follow:
                await asyncio.gather(*copies)
            else:
                for copy in copies:
                    await copy
            return
        seen = dict(
            zip(chosen, await asyncio.gather(*(_told(lab, n) for n in chosen)), strict=True)
        )
        every = sorted((e for told in seen.values() for e in told), key=lambda event: event.at)
        for event in every[max(0, len(every) - last) :] if last is not None else every:
            _say(event, width, events)
        if follow:
            await asyncio.gather(
                *(_follow(lab, name, len(told), width, events) for name, told in seen.items())
            )
        else:
            await _mention_stderr(lab, chosen)


async def _told(lab: "Lab", name: str) -> "list[Event]":
    async with aclosing(lab.nodes[name].events(follow=False)) as stream:  # type: ignore[type-var]
        return [event async for event in stream]


async def _follow(lab: "Lab", name: str, known: int, width: int, events: bool) -> None:
    """What comes after the first `known` events."""
    async with aclosing(lab.nodes[name].events(follow=True)) as stream:  # type: ignore[type-var]
        async for event in stream:
            known -= 1
            if known < 0:
                _say(event, width, events)


def _say(event: "Event", width: int, raw: bool) -> None:
    from mxlab.history.biography import describe
    from mxlab_services.events import encode

    if raw:
        say_json_text(encode(event).decode())
        return
    queue_id = getattr(event.body, "queue_id", "")
    about = f"{queue_id}: " if queue_id else ""
    say_line(f"{stamp(event.at)} {event.node:{width}}  {about}{describe(event)}", hang=HANG)


async def _stderr(lab: "Lab", name: str, width: int, follow: bool, last: int | None) -> None:
    from collections import deque

    kept: deque[str] = deque(maxlen=last)
    beside = imap_servers(lab)
    source = beside[name].logs(follow=follow) if name in beside else lab.logs(name, follow=follow)
    async with aclosing(source) as lines:  # type: ignore[type-var]
        async for line in lines:
            if follow:
                say_line(f"{name:{width}} | {line}", hang=HANG)
            else:
                kept.append(line)
    for line in kept:
        say_line(f"{name:{width}} | {line}", hang=HANG)


async def _mention_stderr(lab: "Lab", chosen: list[str]) -> None:
    for name in chosen:
        async with aclosing(lab.logs(name, follow=False)) as lines:  # type: ignore[type-var]
            async for _ in lines:
                note(f"mxlab: {name} wrote to its standard error too: `mxlab logs {name} --stderr`")
                break
