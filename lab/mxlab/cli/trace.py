"""trace: one message's story, hop by hop, from the nodes' events."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say_json_text, say_line
from mxlab.cli.running import attached, work

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    message: Annotated[
        str | None,
        typer.Argument(
            metavar="[MESSAGE]",
            help="Its Message-ID, queue id, batch, an address, its subject; or last.",
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="ADDRESS", help="Of those to this recipient.")
    ] = "",
    sender: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="Of those from this sender.")
    ] = "",
    subject: Annotated[
        str, typer.Option("--subject", metavar="TEXT", help="Of those with this in their subject.")
    ] = "",
    dialog: Annotated[bool, typer.Option("--dialog", help="With the SMTP conversations.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Tell one message's story: every lookup, attempt, reply and queue, in order.

    The message that was sent last, unless said otherwise. Of another product, [log], [queue] or
    [proxy] says from where it is known. With --json: its events, one object per line.
    """
    work(_trace(message, Filters(to, sender, subject), dialog, lab, json))


class Filters(NamedTuple):
    """What the message has to fit; empty: anything."""

    to: str
    sender: str
    subject: str


async def _trace(
    wanted: str | None, filters: Filters, dialog: bool, lab_name: str, json: bool
) -> None:
    from mxlab.history.biography import life, notifications
    from mxlab.history.lookup import find
    from mxlab.runner.now import read_trace
    from mxlab_services.events import encode

    async with attached(lab_name) as lab:
        with Waiting() as progress:
            progress("reading the events")
            found = await read_trace(lab)
    message = find(found, wanted, **filters._asdict())
    if json:
        for event in found.of_message(message):
            say_json_text(encode(event).decode())
        return
    say_line(message)
    for head, text in life(found, message, dialog=dialog):
        say_line(head + text, hang=len(head))
    for name in notifications(found, message):
        note(f"mxlab: what became of its notification: mxlab trace {name.strip('<>')}")
