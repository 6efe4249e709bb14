"""Rules of retries and of notifications: when a server tries again, and what its senders hear."""

from mxlab.conform.outward import (
    RETRY,
    action_of,
    given,
    report,
    script,
    status_of,
)
from mxlab.conform.place import GOOD, LIFETIME, Surroundings
from mxlab.conform.record import Handover, spacing
from mxlab.conform.rule import Book, Judgement, broken, differs, kept, unseen

REPORTS: Book[Surroundings] = Book("sends")
rule = REPORTS.rule
LEAST = 0.5  # lab seconds between two attempts in a lab, where they follow soon
NO = "550 5.1.1 nobody"
MUST = ("Reporting-MTA", "Final-Recipient", "Action", "Status")  # RFC 3464 §2.2, §2.3
USUAL = ("Arrival-Date", "Remote-MTA", "Diagnostic-Code", "Auto-Submitted")


@rule(
    "c-retry", "RFC 5321 §4.5.4.1", "450 for good: tried again and again, with time between",
    script=((GOOD, script("RCPT", "450 4.2.1 later", about="FROM:<c-retry@", stays=True)),),
    seconds=60.0,
)  # fmt: skip
async def retry(at: Surroundings) -> Judgement:
    await given(at, "c-retry")
    await at.log.until(lambda: len(at.log.with_word("c-retry@")) >= 4, RETRY)
    waits = spacing(at.log.with_word("c-retry@"))
    if not waits:
        return broken(f"it does not try again within {RETRY:.0f} s")
    shown = "after " + ", ".join(f"{wait:g}" for wait in waits[:5]) + " s of lab time"
    return kept(shown) if min(waits) >= LEAST else differs(f"{shown}: it hammers")


@rule(
    "d-warning", "RFC 5321 §4.5.4.1, RFC 3464", "mail that is late: a report, delayed",
    script=((GOOD, script("RCPT", "450 4.2.1 later", about="FROM:<d-warning@", stays=True)),),
    seconds=60.0,
)  # fmt: skip
async def warning(at: Surroundings) -> Judgement:
    message = await given(at, "d-warning")
    told = await report(at, message.sender, "delayed")
    if told is None:
        return differs(f"none within {RETRY:.0f} s")
    if action_of(told) != "delayed":
        return broken("its report names no action")
    until = b"will-retry-until:" in told.plain.lower()
    return kept("with Will-Retry-Until" if until else "without Will-Retry-Until")


@rule(
    "d-expiry", "RFC 5321 §4.5.4.1", "mail that cannot be delivered in its lifetime: bounced",
    script=((GOOD, script("RCPT", "450 4.2.1 later", about="FROM:<d-expiry@", stays=True)),),
    seconds=LIFETIME + 2 * RETRY,
)  # fmt: skip
async def expiry(at: Surroundings) -> Judgement:
    message = await given(at, "d-expiry")
    told = await report(at, message.sender, "failed", LIFETIME + RETRY)
    if told is None:
        if any(status_of(one) == "4.4.7" for one in at.log.reports(message.sender)):
            return broken("when it gives up, it reports a delay")  # as 4.4.7: it has expired
        return broken(f"its sender hears nothing of it {RETRY:.0f} s after its lifetime")
    return kept(f"status {status_of(told)}, after {told.at - _first(at, 'd-expiry').at:.0f} s")


def _first(at: Surroundings, word: str) -> Handover:
    return at.log.with_word(f"{word}@")[0]


@rule(
    "d1-null-sender", "RFC 5321 §4.5.5", "a report has the null reverse-path",
    script=((GOOD, script("RCPT", NO, about="to.d1-null-sender", stays=True)),), seconds=60.0,
)  # fmt: skip
async def null_sender(at: Surroundings) -> Judgement:
    told = await _refused(at, "d1-null-sender")
    if told is None:
        return unseen("there is no report")
    return kept() if "<>" in told.mail else broken(told.mail)


@rule(
    "d1-no-error-for-error", "RFC 5321 §6.1", "mail with the null reverse-path: no report",
    script=((GOOD, script("RCPT", NO, about="d1-no-error-for-error", stays=True)),), seconds=60.0,
)  # fmt: skip
async def no_error_for_error(at: Surroundings) -> Judgement:
    """Another one, that is refused after it, has its report first."""
    name = "d1-no-error-for-error"
    silent = await given(at, name, users=("silent",), sender="")
    await at.log.until(lambda: _tries(at, silent.token), RETRY)
    loud = await given(at, name, users=("loud",), sender="loud@home.test")
    if await report(at, loud.sender) is None:
        return unseen("a message with a sender has no report either")
    about = [one for one in at.log.handovers if silent.token.encode() in (one.content or b"")]
    if about:
        return broken(f"one goes to {', '.join(about[0].rcpts)}")
    return kept()


def _tries(at: Surroundings, token: str) -> list[Handover]:
    return [one for one in at.log.handovers if one.has("d1-no-error-for-error.silent@")]


@rule(
    "d2-format", "RFC 3464", "a report: multipart/report, its fields, and the message's header",
    script=((GOOD, script("RCPT", NO, about="to.d2-format", stays=True)),), seconds=60.0,
)  # fmt: skip
async def form(at: Surroundings) -> Judgement:
    told = await _refused(at, "d2-format")
    if told is None:
        return unseen("there is no report")
    content = told.plain
    lower = content.lower()
    if b"multipart/report" not in lower or b"message/delivery-status" not in lower:
        return broken("it is no multipart/report with a delivery-status")
    if missing := [name for name in MUST if f"\n{name.lower()}:".encode() not in lower]:
        return broken(f"without {', '.join(missing)}")
    if action_of(told) != "failed" or not status_of(told).startswith("5."):
        return broken(f"Action {action_of(told)}, Status {status_of(told)}")
    lacking = [name for name in USUAL if f"\n{name.lower()}:".encode() not in lower]
    if not (b"message/rfc822" in lower or b"text/rfc822-headers" in lower):
        lacking.append("anything of the message")
    return differs(f"without {', '.join(lacking)}") if lacking else kept()


@rule(
    "d2-names-recipient", "RFC 3464 §2.3.2", "the report tells which recipient, and what was said",
    script=((GOOD, script("RCPT", NO, about="to.d2-names-recipient", stays=True)),), seconds=60.0,
)  # fmt: skip
async def names(at: Surroundings) -> Judgement:
    told = await _refused(at, "d2-names-recipient")
    if told is None:
        return unseen("there is no report")
    if b"to.d2-names-recipient@home.test" not in told.plain:
        return broken("the recipient is not in it")
    said = b"5.1.1 nobody" in b" ".join(told.plain.split())
    return kept() if said else differs("what the other server said is not in it")


@rule(
    "d3-never", "RFC 3461 §4.1", "NOTIFY=NEVER: no report of what fails",
    script=((GOOD, script("RCPT", NO, about="d3-never.", stays=True)),), seconds=60.0,
)  # fmt: skip
async def never(at: Surroundings) -> Judgement:
    """As above: another one has its report first."""
    async with at.server.talk() as talk:
        if "DSN" not in talk.offers:
            return differs("DSN is not offered")
    silent = await given(at, "d3-never", users=("silent",), rcpt=" NOTIFY=NEVER")
    loud = await given(at, "d3-never", users=("loud",), sender="d3-loud@home.test")
    if await report(at, loud.sender) is None:
        return unseen("a message without NOTIFY has no report either")
    return broken("there is one") if at.log.reports(silent.sender) else kept()


async def _refused(at: Surroundings, name: str) -> Handover | None:
    """A message to `to.NAME`, which the peer refuses, and the report of it."""
    sender = f"{name}@home.test"
    await given(at, "to", users=(name,), sender=sender)
    return await report(at, sender)
