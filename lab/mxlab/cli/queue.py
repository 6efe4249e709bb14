"""queue, qshape, flush: postqueue's, postsuper's and qshape's habits; etrn: flush from afar."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import node_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, complain, note, say, say_dialog, say_json, say_line, table
from mxlab.cli.running import attached, sources, work
from mxlab.errors import EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from mxlab.model.topology import Topology
    from mxlab_services.control.replies import QueueEntry
    from mxlab_services.control.requests import Request

HEADING = "-Queue ID-----  --Size-- ----Arrival Time---- -Sender/Recipient-------"
INDENT = " " * 46
MARKS = {"active": "*", "hold": "!", "incoming": " ", "deferred": " "}
AGES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # minutes, as qshape has them

Nodes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NODE...]", help="Whose queue (all MTAs').", autocompletion=node_names),
]


def register(app: typer.Typer) -> None:
    app.command()(queue)
    app.command()(qshape)
    app.command()(flush)
    app.command()(etrn)


def _ids(short: str, name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(short, f"--{name}", metavar="ID|ALL", help=text)
    return option


def queue(
    nodes: Nodes = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
    hold: Annotated[list[str] | None, _ids("-h", "hold", "Do not try it until released.")] = None,
    release: Annotated[list[str] | None, _ids("-H", "release", "Let it go on.")] = None,
    requeue: Annotated[list[str] | None, _ids("-r", "requeue", "Route afresh, try now.")] = None,
    delete: Annotated[list[str] | None, _ids("-d", "delete", "Take it away unsent.")] = None,
    expire: Annotated[list[str] | None, _ids("-e", "expire", "Bounce it as too old.")] = None,
) -> None:
    """List queues as `postqueue -p` does (--json: `postqueue -j`), or change what is in one.

    What waits for its next attempt has the time of that (of the lab, UTC) below it.
    """
    edits = {
        "hold": hold,
        "release": release,
        "requeue": requeue,
        "delete": delete,
        "expire": expire,
    }
    wanted = {action: ids for action, ids in edits.items() if ids}
    if wanted:
        work(_edit(nodes or [], lab, wanted, json))
    else:
        work(_list(nodes or [], lab, json))


async def _list(names: list[str], lab_name: str, json: bool) -> None:
    import msgspec

    from mxlab.operate.nodes import each, mtas
    from mxlab.operate.queues import entries

    async with attached(lab_name) as lab, AsyncExitStack() as stack:
        nodes = await sources(stack, lab, mtas(lab, names), "spool")
        answers, problems = await each(nodes, bool(names), entries)
    for problem in problems:
        complain(problem)
    for number, (node, found) in enumerate(answers):
        if json:
            for entry in found:
                say_json(msgspec.to_builtins(entry) | {"node": node.config.node}, indent=0)
            continue
        if len(nodes) > 1:
            say(("\n" if number else "") + f"{node.config.node}:")
        print_queue(found)


def print_queue(found: "list[QueueEntry]") -> None:
    """A queue as `postqueue -p` prints it, with when each message is tried next."""
    if not found:
        say("Mail queue is empty")
        return
    say_line(HEADING)
    for entry in found:
        name = entry.queue_id + MARKS[entry.queue_name]
        when = _when(entry.arrival_time)
        sender = entry.sender or "MAILER-DAEMON"
        say_line(f"{name:<14} {entry.message_size:>9} {when:<20} {sender}")
        reasons: dict[str, list[str]] = defaultdict(list)
        for recipient in entry.recipients:
            reasons[recipient.delay_reason].append(recipient.address)
        for reason, addresses in reasons.items():
            if reason:
                short = len(reason) < 60
                say_line(f"({reason})".rjust(len(INDENT) + 24) if short else f"({reason})")
            for address in addresses:
                say_line(f"{INDENT}{address}")
        if entry.queue_name == "deferred":
            say_line(f"{INDENT}(next attempt {_when(entry.next_attempt)})")
        say()
    size = sum(entry.message_size for entry in found)
    plural = "" if len(found) == 1 else "s"
    say(f"-- {max(1, size // 1024)} Kbytes in {len(found)} Request{plural}.")


def _when(time: float | None) -> str:
    """As `postqueue` writes it; a product's own tools may not know when it tries again."""
    if time is None:
        return "not told"
    return datetime.fromtimestamp(time, UTC).strftime("%a %b %e %H:%M:%S")


async def _edit(names: list[str], lab_name: str, edits: dict[str, list[str]], json: bool) -> None:
    from mxlab.operate.nodes import mtas
    from mxlab_services.control.requests import QueueEdit

    if len(names) != 1:
        raise UsageError(
            "say in which node's queue", f"`mxlab queue NODE --{next(iter(edits))} ID`"
        )
    done: dict[str, int] = {}
    async with attached(lab_name) as lab:
        node = mtas(lab, names)[0]
        with Waiting() as progress:
            progress(f"changing the queue of {node.config.node}")
            for action, ids in edits.items():
                if "ALL" in ids and ids != ["ALL"]:
                    raise UsageError(f"--{action}: give ids or ALL, not both")
                done[action] = await node.request(QueueEdit(action, ids))  # type: ignore[arg-type]
    if json:
        say_json({"node": node.config.node, **done})
        return
    words = {"hold": "put on hold", "release": "released", "requeue": "requeued"}
    words |= {"delete": "deleted", "expire": "expired"}
    for action, count in done.items():
        say(f"{node.config.node}: {_messages(count)} {words[action]}")


def flush(
    nodes: Nodes = None,
    lab: LabName = DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Everything (the default).")] = False,
    site: Annotated[
        str | None, typer.Option("--site", "-s", metavar="DOMAIN", help="What waits for a domain.")
    ] = None,
    queue_id: Annotated[
        str | None, typer.Option("--id", "-i", metavar="ID", help="One message.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Try what waits in queues now."""
    from mxlab_services.control.requests import QueueFlush

    if sum((every, site is not None, queue_id is not None)) > 1:
        raise UsageError("--all, --site and --id exclude each other", "give one of them")
    if queue_id is not None and len(nodes or []) != 1:
        raise UsageError("say in which node's queue the message is", "`mxlab flush NODE --id ID`")
    work(_flush(nodes or [], lab, QueueFlush(site, queue_id), json))


async def _flush(names: list[str], lab_name: str, request: "Request[int]", json: bool) -> None:
    from mxlab.operate.nodes import each, mtas

    async with attached(lab_name) as lab:
        answers, problems = await each(
            mtas(lab, names), bool(names), lambda node: node.request(request)
        )
    for problem in problems:
        note(f"mxlab: {problem}")
    if json:
        say_json({node.config.node: count for node, count in answers})
        return
    for node, count in answers:
        say(f"{node.config.node}: trying {_messages(count)}")


def etrn(
    host: Annotated[
        str,
        typer.Argument(
            metavar="NODE", help="Who is to start its queue.", autocompletion=node_names
        ),
    ],
    asking: Annotated[
        str | None,
        typer.Option("--from", metavar="NODE", help="Who asks.", autocompletion=node_names),
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", "-s", metavar="DOMAIN", help="What waits for it.")
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Ask a node by SMTP to start its queue for a domain (RFC 1985), as a host that is back does.

    From the best primary, for the lab's domain, unless said otherwise. Exit code 1 for a refusal.
    """
    work(_etrn(host, asking, domain, lab, json))


async def _etrn(
    host: str, asking: str | None, domain: str | None, lab_name: str, json: bool
) -> None:
    from mxlab.operate.nodes import mtas
    from mxlab.runner.etrn import ask_to_send

    async with attached(lab_name) as lab:
        best = _primary(lab.topology, domain)
        asked, asker = mtas(lab, [host, best if asking is None else asking])
        answer = await ask_to_send(lab, asker.config.node, asked.config.node, domain)
    if json:
        say_json(answer)
    else:
        say_dialog(answer.dialog)
        say(answer.text)
    if answer.code // 100 != 2:
        raise typer.Exit(EXIT_FAILED)


def _primary(topology: "Topology", domain: str | None) -> str:
    """The best primary of the domain, if it is one of the lab's, else of the lab's first."""
    from mxlab_services.domain import fold_domain

    wanted = fold_domain(domain) if domain else topology.domain
    meant = next((d for d in topology.mail_domains if d.domain == wanted), None)
    exchanges = topology.mx if meant is None else meant.mx
    return min(exchanges, key=lambda exchange: exchange.preference).host


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def qshape(nodes: Nodes = None, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """How old the mail in the queue is, by recipient domain (ages in minutes of lab time)."""
    work(_qshape(nodes or [], lab, json))


async def _qshape(names: list[str], lab_name: str, json: bool) -> None:
    from mxlab.operate.nodes import each, mtas
    from mxlab.operate.queues import entries

    async with attached(lab_name) as lab, AsyncExitStack() as stack:
        nodes = await sources(stack, lab, mtas(lab, names), "spool")
        answers, problems = await each(nodes, bool(names), entries)
        now = lab.clock.time()
    for problem in problems:
        complain(problem)
    shapes = shape([entry for _, found in answers for entry in found], now)
    headings = [*(str(age) for age in AGES), f"{AGES[-1]}+"]
    if json:
        say_json(
            [
                {
                    "domain": domain,
                    "total": sum(ages),
                    "ages": dict(zip(headings, ages, strict=True)),
                }
                for domain, ages in shapes.items()
            ]
        )
        return
    table(["", "T", *headings], [[domain, sum(ages), *ages] for domain, ages in shapes.items()])


def shape(found: "Iterable[QueueEntry]", now: float) -> dict[str, list[int]]:
    """Recipients by domain and age; the first row is their sum, then the largest first."""
    from mxlab_services.address import domain_of

    domains: dict[str, list[int]] = {}
    total = [0] * (len(AGES) + 1)
    for entry in found:
        minutes = (now - entry.arrival_time) / 60
        column = next((n for n, age in enumerate(AGES) if minutes < age), len(AGES))
        for recipient in entry.recipients:
            domain = domain_of(recipient.address)
            domains.setdefault(domain, [0] * len(total))[column] += 1
            total[column] += 1
    ordered = sorted(domains.items(), key=lambda item: (-sum(item[1]), item[0]))
    return {"TOTAL": total, **dict(ordered)}
