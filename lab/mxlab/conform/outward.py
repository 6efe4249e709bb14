"""What rules of a server that sends have in common: mail given to it, and what came of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mxlab.conform.place import Surroundings
from mxlab.conform.record import Handover, spacing
from mxlab.conform.rule import Judgement, broken, differs, kept, unseen
from mxlab_services.control.peers import PeerReply, PeerRule

RETRY = 40.0  # real seconds in which a server of the lab tries again, or gives up
ONWARD = 90.0  # real seconds: OpenSMTPD tries an exchange up to five times before it goes on
HOME = "home.test"
_STATUS = re.compile(rb"^Status:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ACTION = re.compile(rb"^Action:\s*(\w+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Given:
    """A message that the server took: its token, its sender, its content as it was given."""

    token: str
    sender: str
    content: bytes


def script(stage: str, *texts: str, about: str = "", stays: bool = False) -> PeerRule:
    """Replies one after the other, then as ever (or the last one for good). A text may end with
    `|cut`, `|silence`."""
    replies = []
    for text in texts:
        said, _, then = text.partition("|")
        assert then in ("", "cut", "silence")
        replies.append(PeerReply(said, then))  # type: ignore[arg-type]
    return PeerRule(stage, replies, about, stays)


async def given(
    at: Surroundings,
    rule: str,
    domain: str = HOME,
    *,
    users: Sequence[str] = ("to",),
    body: bytes = b"hello\r\n",
    head: bytes = b"",
    sender: str | None = None,
    mail: str = "",
    rcpt: str = "",
) -> Given:
    """Send it a message about a rule: from `rule@home.test`, to `rule.user@domain` for each of the
    users. Raises Obstacle where it does not take it."""
    reverse = f"{rule}@{HOME}" if sender is None else sender
    letter = at.server.letter(rule, body, head)
    async with at.server.talk() as talk:
        await talk.must(f"MAIL FROM:<{reverse}>{mail}")
        for user in users:
            await talk.must(f"RCPT TO:<{rule}.{user}@{domain}>{rcpt}")
        await at.server.data(talk)
        await talk.say(letter.content)
        await talk.must(".")
    return Given(letter.token, reverse, letter.content)


async def arrival(
    at: Surroundings, token: str, *, peer: str | None = None, seconds: float = RETRY
) -> Handover | None:
    """The first transaction in which the message was taken."""
    found = await at.log.until(lambda: at.log.taken(token, at=peer), seconds)
    return found[0] if found else None


async def report(
    at: Surroundings, sender: str, action: str = "failed", seconds: float = RETRY
) -> Handover | None:
    """The first report to that sender with that action, or one that names none."""

    def look() -> list[Handover]:
        return [one for one in at.log.reports(sender) if action_of(one) in (action, "")]

    found = await at.log.until(look, seconds)
    return found[0] if found else None


def failures(at: Surroundings, sender: str) -> list[Handover]:
    """The reports to that sender of what failed for good; not those of delay."""
    return [one for one in at.log.reports(sender) if action_of(one) in ("failed", "")]


def action_of(one: Handover) -> str:
    """The action of its first recipient (RFC 3464 §2.3.3), or nothing."""
    found = _ACTION.search(one.plain)
    return found[1].decode().lower() if found else ""


def status_of(one: Handover) -> str:
    """Its status, or nothing."""
    found = _STATUS.search(one.plain)
    return found[1].decode("latin-1") if found else ""


async def again(at: Surroundings, rule: str, domain: str = HOME) -> Judgement:
    """A message is given, whose first attempt fails for now: it has to be tried again."""
    message = await given(at, rule, domain)
    came = await arrival(at, message.token)
    if came is None:
        if failures(at, message.sender):
            return broken("it bounces what was refused for now only")
        if not at.log.with_word(f"{rule}@"):
            return unseen("it did not even try")
        return broken(f"it does not try again within {RETRY:.0f} s")
    attempts = at.log.with_word(f"{rule}@")
    if len(attempts) < 2:
        return unseen("it was taken at once")
    return kept(f"again after {_seconds(attempts)}")


async def bounced(at: Surroundings, rule: str, domain: str = HOME) -> Judgement:
    """A message is given that is refused for good: its sender has to hear of it, at once."""
    message = await given(at, rule, domain)
    found = await report(at, message.sender)
    attempts = at.log.with_word(f"{rule}@")
    if found is None:
        if len(attempts) > 1:
            return broken(f"it tries again, after {_seconds(attempts)}, and bounces nothing")
        return broken(f"its sender hears nothing within {RETRY:.0f} s")
    if len(attempts) > 1:
        return differs(f"it tries {len(attempts)} times before it bounces")
    return kept(f"status {status_of(found) or 'not told'}")


async def onward(
    at: Surroundings,
    rule: str,
    domain: str,
    first: str,
    then: str,
    *,
    nothing: Judgement | None = None,
) -> Judgement:
    """A message for a domain whose better exchange gives no service: the next one gets it.
    `nothing`: what it means that it does not within ONWARD; else that is a breach."""
    message = await given(at, rule, domain)
    came = await arrival(at, message.token, peer=then, seconds=ONWARD)
    if came is None:
        if failures(at, message.sender):
            return broken("it bounces, and another exchange is there")
        return nothing or broken(f"the other exchange gets nothing within {ONWARD:.0f} s")
    tried = [one for one in at.log.conversations if one.peer == first and one.at <= came.at]
    return kept(f"after {came.at - tried[0].at:.1f} s" if tried else "")


def _seconds(attempts: Sequence[Handover]) -> str:
    return ", ".join(f"{seconds:g} s" for seconds in spacing(attempts))
