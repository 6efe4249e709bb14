"""mailbox: what lies in the mailboxes, and one message whole."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import node_names
from mxlab.cli.layout import shortened
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import complain, say, say_json, stamp, table
from mxlab.cli.running import attached, check_address, sources, work
from mxlab.errors import UsageError
from mxlab.visible import visible

if TYPE_CHECKING:
    from mxlab.backends.real.remains import Source
    from mxlab_services.control.replies import MailboxEntry

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
        str | None,
        typer.Option(
            "--node", metavar="NODE", help="Only this node's mailboxes.", autocompletion=node_names
        ),
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
    from mxlab.operate.nodes import each, mtas
    from mxlab_services.control.requests import MailboxList, MailboxRead

    async with attached(lab_name) as lab, AsyncExitStack() as stack:
        having = mtas(lab, [] if node is None else [node])
        answers, problems = await each(
            await sources(stack, lab, having, "mailboxes"),
            node is not None,
            lambda n: n.request(MailboxList(address)),
        )
        for problem in problems:
            complain(problem)
        found: list[tuple[Source, MailboxEntry]] = sorted(
            ((n, entry) for n, listed in answers for entry in listed),
            key=lambda pair: (pair[1].delivered_at, pair[1].name),
        )
        if show is not None:
            holder, entry = _pick(found, show)
            content = await holder.request(MailboxRead(entry.address, entry.name))
            text = content.decode("utf-8", "surrogateescape")
            if json:
                say_json(_row(holder, entry) | {"content": text})
            else:
                say(text.rstrip("\r\n"))
            return
    from mxlab.history.lookup import subject_text

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
                    stamp(entry.delivered_at),
                    shortened(visible(subject_text(entry.subject)), SUBJECT),
                    entry.message,
                )
                for number, (n, entry) in enumerate(found, 1)
            ],
        )


def _pick(found: "list[tuple[Source, MailboxEntry]]", show: str) -> "tuple[Source, MailboxEntry]":
    number = len(found) if show == "last" else int(show)
    if not 1 <= number <= len(found):
        raise UsageError(
            f"there is no message {show} in the list", f"it has {len(found)}: see `mxlab mailbox`"
        )
    return found[number - 1]


def _row(node: "Source", entry: "MailboxEntry") -> dict[str, object]:
    import msgspec

    row: dict[str, object] = msgspec.to_builtins(entry)
    return row | {"node": node.config.node}
