"""send: swaks's habits, from the lab's client."""

import re
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_dialog, say_json
from mxlab.cli.running import attached, check_address, node_called, work
from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab_services.control import Submit, SubmittedMessage

WAIT_SECONDS = 60.0
_SIZE = re.compile(r"(\d+)([kKmM]?)[bB]?")
_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def register(app: typer.Typer) -> None:
    app.command()(send)


def send(
    to: Annotated[
        list[str], typer.Option("--to", "-t", metavar="ADDRESS", help="May be given repeatedly.")
    ],
    sender: Annotated[
        str | None, typer.Option("--from", "-f", metavar="ADDRESS", help="alice@client.test")
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="How many messages.")] = 1,
    size: Annotated[str, typer.Option(metavar="BYTES", help="Fill up to it (10k, 1m).")] = "0",
    rate: Annotated[float, typer.Option(metavar="N", help="Messages per second.")] = 0.0,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Submitted at a time.")] = 10,
    subject: Annotated[str, typer.Option(metavar="TEXT")] = "mxlab test message",
    body: Annotated[str, typer.Option(metavar="TEXT", help="@FILE: from a file; -: stdin.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", "-h", metavar="NAME:VALUE", help="One more.")
    ] = None,
    notify: Annotated[
        str, typer.Option(metavar="WHEN", help="Reports: NEVER, or SUCCESS,FAILURE,DELAY.")
    ] = "",
    show_dialog: Annotated[
        bool, typer.Option("--show-dialog", help="Print the first attempt's SMTP conversation.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until all is delivered.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait, in real seconds.")
    ] = WAIT_SECONDS,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Send mail from the client, and print the messages' ids."""
    from mxlab_services.control import Submit

    if count < 1 or concurrency < 1 or rate < 0 or timeout <= 0:
        raise UsageError("--count, --concurrency and --timeout must be above 0, --rate not below")
    for address in (*to, *([sender] if sender else [])):
        check_address(address)
    request = Submit(
        sender=sender or "",
        recipients=to,
        count=count,
        size=parse_size(size),
        rate=rate,
        concurrency=concurrency,
        subject=subject,
        body=_text(body),
        headers=[parse_header(text) for text in header or []],
        notify=notify,
    )
    code = work(_send(lab, request, show_dialog, wait, timeout, json))
    raise typer.Exit(code)


def parse_size(text: str) -> int:
    """Bytes; `10k` is 10240. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--size: a number of bytes, as 2000, 10k or 1m; not {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def parse_header(text: str) -> tuple[str, str]:
    """Name and value. Raises UsageError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header: NAME: VALUE, not {text!r}")
    return name.strip(), value.strip()


def _text(body: str) -> str:
    try:
        if body == "-":
            return sys.stdin.read()
        if body.startswith("@"):
            return Path(body[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--body: {error}") from error
    return body


async def _send(
    lab_name: str, request: "Submit", dialog: bool, wait: bool, seconds: float, json: bool
) -> int:
    import msgspec

    async with attached(lab_name) as lab:
        client = node_called(lab, lab.topology.client)
        if not request.sender:
            sender = f"alice@{lab.topology.client_domain}"
            request = msgspec.structs.replace(request, sender=sender)
        with Waiting() as progress:
            progress(f"submitting {request.count} messages")
            sent = await client.request(request)
            if not json:
                for message in sent:
                    say(f"{message.message} queued as {message.queue_id}")
            conversations: list[dict[str, object]] = []
            code = 0
            if dialog:
                progress("waiting for the first attempt")
                code = await _dialogs(lab, sent, seconds, conversations, json)
            missing: list[tuple[str, str, str]] = []
            if wait:
                progress("waiting for the deliveries")
                missing = await _deliveries(lab, sent, seconds)
                code = _verdict(missing) or code
    if json:
        say_json({"sent": sent, "dialogs": conversations, "undelivered": missing})
    elif wait and not missing:
        say("delivered" if len(sent) == 1 else f"all {len(sent)} delivered")
    for name, recipient, fate in missing:
        note(f"mxlab: {name} to {recipient}: {fate}")
    return code


def _verdict(missing: list[tuple[str, str, str]]) -> int:
    if not missing:
        return 0
    bounced = any(fate.startswith("bounced") for _, _, fate in missing)
    return EXIT_FAILED if bounced else EXIT_INCONCLUSIVE


async def _dialogs(
    lab: "Lab",
    sent: "list[SubmittedMessage]",
    seconds: float,
    conversations: list[dict[str, object]],
    json: bool,
) -> int:
    """Print what the client said to hosts, until each message was tried and settled once."""
    import asyncio

    from mxlab_services.events import Deferred, Removed, Tried

    waiting = {message.queue_id for message in sent}
    client = node_called(lab, lab.topology.client)
    try:
        async with asyncio.timeout(seconds), aclosing(client.events()) as stream:  # type: ignore[type-var]
            async for event in stream:
                match event.body:
                    case Tried() as tried if tried.queue_id in waiting:
                        conversations.append(_conversation(tried, json))
                    case Deferred(queue_id=done) | Removed(queue_id=done):
                        waiting.discard(done)
                if not waiting:
                    return 0
    except TimeoutError:
        note(f"mxlab: {len(waiting)} not tried within {seconds:g} s; see `mxlab queue`")
        return EXIT_INCONCLUSIVE
    return 0


def _conversation(tried: "object", json: bool) -> dict[str, object]:
    import msgspec

    from mxlab_services.events import Tried

    assert isinstance(tried, Tried)
    if not json:
        say(f"=== {tried.queue_id}: {tried.host} [{tried.address}], preference {tried.preference}")
        say_dialog(tried.dialog)
        say(f"=== {tried.stage}: {tried.reply} ({tried.seconds:.3f} s)")
    shown: dict[str, object] = msgspec.to_builtins(tried)
    return shown


async def _deliveries(
    lab: "Lab", sent: "list[SubmittedMessage]", seconds: float
) -> list[tuple[str, str, str]]:
    """Wait until every message is in every mailbox; answers those that are not, and why."""
    import asyncio

    from mxlab_services.address import canonical
    from mxlab_services.events import Bounced, MailboxDelivered

    late = "not delivered in time"
    waiting = {(m.message, canonical(r)): late for m in sent for r in m.recipients}

    async def watch(name: str) -> None:
        async with aclosing(node_called(lab, name).events()) as stream:  # type: ignore[type-var]
            async for event in stream:
                match event.body:
                    case MailboxDelivered(recipient=recipient):
                        waiting.pop((event.message or "", canonical(recipient)), None)
                    case Bounced(about=about, recipients=failed, action="failed"):
                        for recipient in failed:
                            if (about, canonical(recipient)) in waiting:
                                waiting[about, canonical(recipient)] = "bounced"
                if all(fate == "bounced" for fate in waiting.values()):
                    return

    tasks = [asyncio.create_task(watch(name)) for name in lab.nodes if name != lab.topology.dns]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return [(message, recipient, fate) for (message, recipient), fate in waiting.items()]
