"""send: swaks's habits, from one of the lab's clients."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import sender_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_dialog, say_json, say_line
from mxlab.cli.running import attached, check_address, work
from mxlab.cli.submission import asked_program, handing_in
from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mxlab.backends.base import Lab
    from mxlab.model.submitting import Submitting
    from mxlab_services.control.replies import SubmittedMessage
    from mxlab_services.control.requests import Submit
    from mxlab_services.events import Event

WAIT_SECONDS = 60.0
NULL = "<>"  # the null reverse-path (RFC 5321 §4.5.5)
SOME = ("SUCCESS", "FAILURE", "DELAY")
NOTIFY, RET = ("NEVER", *SOME), ("FULL", "HDRS")  # RFC 3461 §4.1, §4.3
_SIZE = re.compile(r"(\d+)([kKmM]?)[bB]?")
_UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def register(app: typer.Typer) -> None:
    app.command()(send)


def send(
    to: Annotated[
        list[str], typer.Option("--to", "-t", metavar="ADDRESS", help="May be given repeatedly.")
    ],
    sender: Annotated[
        str | None,
        typer.Option("--from", "-f", metavar="ADDRESS", help="alice@client.test; '<>': nobody."),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Which client (the first).", autocompletion=sender_names),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="How many messages.")] = 1,
    size: Annotated[str, typer.Option(metavar="BYTES", help="Fill up to it (10k, 1m).")] = "0",
    rate: Annotated[float, typer.Option(metavar="N", help="Messages per second.")] = 0.0,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Submitted at a time.")] = 10,
    subject: Annotated[str | None, typer.Option(metavar="TEXT", help="mxlab test message")] = None,
    body: Annotated[str, typer.Option(metavar="TEXT", help="@FILE: from a file; -: stdin.")] = "",
    eml: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The whole message, header and all.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-h", metavar="NAME:VALUE", help="One more.")
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="NAME", help="A name for them all, which `trace` knows.")
    ] = "",
    notify: Annotated[
        str, typer.Option(metavar="WHEN", help="Reports: NEVER, or SUCCESS,FAILURE,DELAY.")
    ] = "",
    ret: Annotated[
        str, typer.Option(metavar="WHAT", help="A report of failure brings FULL or HDRS back.")
    ] = "",
    auth_user: Annotated[
        str | None, typer.Option(metavar="USER", help="Hand it in by SMTP, as that user.")
    ] = None,
    auth_password: Annotated[
        str | None, typer.Option(metavar="WORD", help="That of the topology.")
    ] = None,
    auth: Annotated[
        str | None, typer.Option(metavar="MECHANISM", help="SCRAM-SHA-256, PLAIN or LOGIN.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Hand it in at 587, or at 465.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls/--no-tls", help="Hand it in within TLS.")] = True,
    tries: Annotated[int, typer.Option(metavar="N", help="Tries to hand it in, 5 s apart.")] = 1,
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
    """Send mail from a client, and print the messages' ids."""
    from mxlab_services.control.requests import Submit

    if count < 1 or concurrency < 1 or rate < 0 or timeout <= 0:
        raise UsageError("--count, --concurrency and --timeout must be above 0, --rate not below")
    for address in (*to, *([sender] if sender and sender != NULL else [])):
        check_address(address)
    if eml is not None and (body or subject is not None or parse_size(size)):
        raise UsageError("--eml: the message has its own subject, body and size")
    request = Submit(
        sender=sender or "",
        recipients=to,
        count=count,
        size=parse_size(size),
        rate=rate,
        concurrency=concurrency,
        subject="mxlab test message" if subject is None else subject,
        body=_text(body),
        headers=[parse_header(text) for text in header or []],
        notify=_parameter("--notify", notify, NOTIFY),
        ret=_parameter("--ret", ret, RET),
        content=None if eml is None else _message(eml),
        batch=batch,
    )
    program = asked_program(auth_user, auth_password, auth, port, tls, tries)
    work(_send(lab, via, request, program, show_dialog, wait, timeout, json))


def parse_size(text: str) -> int:
    """Bytes; `10k` is 10240. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--size: a number of bytes, as 2000, 10k or 1m; not {text!r}")
    return int(match[1]) * _UNITS[match[2].lower()]


def parse_header(text: str) -> tuple[str, str]:
    """Name and value. Raises UsageError."""
    from mxlab_services.submit.given import field_in

    try:
        return field_in(text)
    except ValueError as error:
        raise UsageError(f"--header: {error}") from error


def _parameter(option: str, text: str, known: tuple[str, ...]) -> str:
    """Words of RFC 3461, joined by commas, as SMTP has them. Raises UsageError."""
    words = [word.strip().upper() for word in text.split(",")] if text.strip() else []
    for word in words:
        if word not in known:
            near = nearest(word, known)
            hint = (f"did you mean {near!r}? " if near else "") + f"known: {', '.join(known)}"
            raise UsageError(f"{option}: no {word[:40]!r} is known", hint)
    several = len(words) > 1
    if len(set(words)) < len(words) or (several and not set(words) <= set(SOME)):
        rule = "NEVER alone, or each of the others once" if known is NOTIFY else "one of the two"
        raise UsageError(f"{option}: {rule}, not {','.join(words)}")
    return ",".join(words)


def _message(path: Path) -> bytes:
    """The message in a file, of which the client would take every line. Raises UsageError."""
    from mxlab.scenario.mailfile import MOST, read_mail
    from mxlab_services.submit.given import whole_message

    data = read_mail(path)
    try:
        whole_message(data, MOST)
    except ValueError as error:
        raise UsageError(f"--eml: {path}: {error}") from error
    return data


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
    lab_name: str,
    via: str | None,
    request: "Submit",
    program: "Submitting | None",
    dialog: bool,
    wait: bool,
    seconds: float,
    json: bool,
) -> None:
    from mxlab.cli.outcomes import Outcomes
    from mxlab.operate.nodes import sender_called

    async with attached(lab_name) as lab:
        client = sender_called(lab, via)
        request = _in_this_lab(request, lab, client.config.node, program)
        with Waiting() as progress:
            progress(f"submitting {request.count} messages")
            sent = await client.request(request)
            if not json:
                for message in (one for one in sent if one.recipients):
                    say(f"{message.message} queued as {message.queue_id}")
            outcomes = Outcomes(lab, client, sent)
            in_time = True
            if dialog:
                await outcomes.handed_in(None if json else _show)
                progress("waiting for the first attempt")
                in_time = await outcomes.first_attempts(seconds, None if json else _show)
            if wait:
                progress("waiting for the deliveries")
                await outcomes.deliveries(seconds)
    missing = outcomes.missing if wait else []
    refused = list(_refusals(sent))
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
    elif wait and not missing and not refused:
        say("delivered" if len(sent) == 1 else f"all {len(sent)} delivered")
    for unit in missing or failed:
        note(f"mxlab: {unit}")
    for line in refused:
        note(f"mxlab: {line}")
    if not in_time:
        note(f"mxlab: not all were tried within {seconds:g} s; see `mxlab queue`")
    if failed or refused:
        raise typer.Exit(EXIT_FAILED)
    raise typer.Exit(EXIT_INCONCLUSIVE if missing or not in_time else EXIT_OK)


def _in_this_lab(
    request: "Submit", lab: "Lab", client: str, program: "Submitting | None"
) -> "Submit":
    """The request with what the lab says of its sender and of who hands it in."""
    import msgspec

    sender = request.sender or f"alice@{lab.topology.home(client)}"
    by = handing_in(lab.topology, client, program) if program else None
    return msgspec.structs.replace(request, sender="" if sender == NULL else sender, by=by)


def _refusals(sent: "Iterable[SubmittedMessage]") -> "Iterator[str]":
    for one in sent:
        for recipient, reply in one.refused.items():
            yield f"{one.message} to {recipient}: refused when it was handed in: {reply}"


def _show(event: "Event", queue_id: str) -> None:
    """An event of a first attempt: what was asked, what was said, and what came of it."""
    from mxlab.history.biography import describe
    from mxlab_services.events import HandedIn, Tried

    if isinstance(event.body, HandedIn):
        say_line(f"=== {queue_id}: {describe(event)}", hang=6)
        say_dialog(event.body.dialog)
        return
    if not isinstance(event.body, Tried) or event.body.stage == "skipped":
        say_line(f"=== {queue_id}: {describe(event)}")
        return
    tried = event.body
    rank = f", preference {tried.preference}" if tried.preference >= 0 else ""  # else: not told
    say_line(f"=== {queue_id}: {tried.host} [{tried.address}]{rank}", hang=6)
    say_dialog(tried.dialog)
    say_line(f"=== {tried.stage}: {tried.reply} ({tried.seconds:.3f} s)")
