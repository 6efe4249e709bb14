"""send: swaks's habits, from the lab's client."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_dialog, say_json, say_line
from mxlab.cli.running import attached, check_address, node_called, work
from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK, UsageError

if TYPE_CHECKING:
    from mxlab_services.control.requests import Submit
    from mxlab_services.events import Event

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
    batch: Annotated[
        str, typer.Option(metavar="NAME", help="A name for them all, which `trace` knows.")
    ] = "",
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
    from mxlab_services.control.requests import Submit

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
        batch=batch,
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

    from mxlab.cli.outcomes import Outcomes

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
            outcomes = Outcomes(lab, sent)
            in_time = True
            if dialog:
                progress("waiting for the first attempt")
                in_time = await outcomes.first_attempts(seconds, None if json else _show)
            if wait:
                progress("waiting for the deliveries")
                await outcomes.deliveries(seconds)
    missing = outcomes.missing if wait else []
    failed = [unit for unit in outcomes.missing if unit.fate == "bounced"]
    if json:
        undelivered = [(unit.message, unit.recipient, unit.fate) for unit in missing]
        said = missing or failed
        say_json(
            {
                "sent": sent,
                "dialogs": outcomes.dialogs,
                "undelivered": undelivered,
                "reasons": [unit.row() for unit in said],
            }
        )
    elif wait and not missing:
        say("delivered" if len(sent) == 1 else f"all {len(sent)} delivered")
    for unit in missing or failed:
        note(f"mxlab: {unit}")
    if not in_time:
        note(f"mxlab: not all were tried within {seconds:g} s; see `mxlab queue`")
    if failed:
        return EXIT_FAILED
    return EXIT_INCONCLUSIVE if missing or not in_time else EXIT_OK


def _show(event: "Event", queue_id: str) -> None:
    """An event of a first attempt: what was asked, what was said, and what came of it."""
    from mxlab.history.biography import describe
    from mxlab_services.events import Tried

    if not isinstance(event.body, Tried) or event.body.stage == "skipped":
        say_line(f"=== {queue_id}: {describe(event)}")
        return
    tried = event.body
    say_line(
        f"=== {queue_id}: {tried.host} [{tried.address}], preference {tried.preference}", hang=6
    )
    say_dialog(tried.dialog)
    say_line(f"=== {tried.stage}: {tried.reply} ({tried.seconds:.3f} s)")
