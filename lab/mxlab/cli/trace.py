"""trace: one message's story, hop by hop, from the nodes' events."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, say, say_json_text
from mxlab.cli.running import attached, work
from mxlab.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.trace import Trace
    from mxlab_services.events import Event


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    message: Annotated[
        str,
        typer.Argument(
            metavar="MESSAGE", help="Its Message-ID, a queue id, a part of it, or last."
        ),
    ],
    dialog: Annotated[bool, typer.Option("--dialog", help="With the SMTP conversations.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Tell one message's story: every lookup, attempt, reply and queue, in order.

    With --json: its events, one object per line.
    """
    work(_trace(message, dialog, lab, json))


async def _trace(wanted: str, dialog: bool, lab_name: str, json: bool) -> None:
    from mxlab.story import biography
    from mxlab_services.events import encode

    async with attached(lab_name) as lab:
        with Waiting() as progress:
            progress("reading the events")
            found = await read_trace(lab)
    message = find_message(found, wanted)
    if json:
        for event in found.of_message(message):
            say_json_text(encode(event).decode())
        return
    for line in biography(found, message, dialog=dialog):
        say(line)


async def read_trace(lab: "Lab") -> "Trace":
    """What all nodes have told so far."""
    import asyncio

    from mxlab.trace import Trace

    async def read(name: str) -> "list[Event]":
        async with aclosing(lab.nodes[name].events(follow=False)) as stream:  # type: ignore[type-var]
            return [event async for event in stream]

    found = Trace()
    for events in await asyncio.gather(*(read(name) for name in lab.nodes)):
        for event in events:
            found.add(event)
    return found


def find_message(trace: "Trace", wanted: str) -> str:
    """The message that is meant. Raises UnknownName, and UsageError where several may be."""
    messages = trace.messages()
    if wanted == "last" and messages:
        return max(messages, key=lambda message: trace.of_message(message)[0].at)
    for name in (wanted, f"<{wanted}>"):
        if name in messages:
            return name
    queue_ids = {
        str(queue_id): message
        for message in messages
        for event in trace.of_message(message)
        if event.message == message and (queue_id := getattr(event.body, "queue_id", None))
    }
    if wanted.upper() in queue_ids:
        return queue_ids[wanted.upper()]
    parts = [message for message in messages if wanted in message]
    if len(parts) > 1:
        raise UsageError(
            f"{len(parts)} messages have {wanted!r} in their name", "as " + ", ".join(parts[:3])
        )
    if not parts:
        raise UnknownName("message", wanted, messages[-5:])
    return parts[0]
