"""mailbox: what lies in the mailboxes, and one message whole."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.layout import shortened
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import complain, say, say_json, table
from mxlab.cli.running import attached, check_address, each, mtas, work
from mxlab.errors import UsageError
from mxlab.visible import visible

if TYPE_CHECKING:
    from mxlab.backends.base import Node
    from mxlab_services.control import MailboxEntry

SUBJECT = 40  # columns of the list that a subject may have


def register(app: typer.Typer) -> None:
    app.command()(mailbox)


def mailbox(
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="Whose mailbox (all).")
    ] = None,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="N|last", help="Print this message of the list whole."),
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NODE", help="Only this node's mailboxes.")
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """List delivered mail, or show a message."""
    if address is not None:
        check_address(address)
    if show is not None and show != "last" and not (show.isdecimal() and int(show) > 0):
        raise UsageError(f"--show: a number of the list, or last; not {show!r}")
    work(_mailbox(address, show, node, lab, json))


async def _mailbox(
    address: str | None, show: str | None, node: str | None, lab_name: str, json: bool
) -> None:
    from mxlab_services.control import MailboxList, MailboxRead

    async with attached(lab_name) as lab:
        having = mtas(lab, [] if node is None else [node])
        answers, problems = await each(
            having, node is not None, lambda n: n.request(MailboxList(address))
        )
        for problem in problems:
            complain(problem)
        found: list[tuple[Node, MailboxEntry]] = sorted(
            ((n, entry) for n, listed in answers for entry in listed),
            key=lambda pair: (pair[1].delivered_at, pair[1].name),
        )
        if show is not None:
            holder, entry = _pick(found, show)
            text = await holder.request(MailboxRead(entry.address, entry.name))
            if json:
                say_json(_row(holder, entry) | {"content": text})
            else:
                say(text.rstrip("\r\n"))
            return
    if json:
        say_json([_row(n, entry) for n, entry in found])
    elif not found:
        say("No mail.")
    else:
        table(
            ("N", "NODE", "MAILBOX", "FROM", "DELIVERED", "SUBJECT", "MESSAGE"),
            [
                (
                    number,
                    n.config.node,
                    entry.address,
                    entry.reverse_path or "<>",
                    datetime.fromtimestamp(entry.delivered_at, UTC).strftime("%d %b %H:%M:%S"),
                    shortened(visible(entry.subject), SUBJECT),
                    entry.message,
                )
                for number, (n, entry) in enumerate(found, 1)
            ],
        )


def _pick(found: "list[tuple[Node, MailboxEntry]]", show: str) -> "tuple[Node, MailboxEntry]":
    number = len(found) if show == "last" else int(show)
    if not 1 <= number <= len(found):
        raise UsageError(
            f"there is no message {show} in the list", f"it has {len(found)}: see `mxlab mailbox`"
        )
    return found[number - 1]


def _row(node: "Node", entry: "MailboxEntry") -> dict[str, object]:
    import msgspec

    row: dict[str, object] = msgspec.to_builtins(entry)
    return row | {"node": node.config.node}
