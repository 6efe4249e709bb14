"""Conditions that a scenario expects to hold in the end, judged from the final evidence. Pure."""

from collections.abc import Callable

from mxlab.checks import conditions
from mxlab.checks.result import Case, Check, Opinion
from mxlab.history.ledger import Unit
from mxlab.model.condition import (
    AnyCondition,
    Bounced,
    Deferred,
    Delivered,
    Mailbox,
    Queue,
    Retries,
    Struck,
)
from mxlab_services.address import canonical


def in_the_end(condition: AnyCondition) -> Check:
    """A condition that is to hold in the end, judged from the final evidence."""

    def check(case: Case) -> Opinion:
        match condition:
            case Queue(host=host, holds=str(name)):
                return submitted(case, f"queued at {host}", lambda u: host in u.queued, name)
            case Queue(host=host, count=count):
                entries = case.evidence.queues.get(host)
                if entries is None:
                    return Opinion(0, (), "", "")
                text = f"{host} holds {len(entries)} messages"
                wrong = () if len(entries) == count else (f"{text}, not {count}",)
                return Opinion(1, wrong, text, text, whole=False)
            case Delivered(batch=name):
                return submitted(case, "delivered", lambda unit: bool(unit.copies), name)
            case Bounced(batch=name):
                return submitted(case, "bounced", lambda unit: bool(unit.bounced), name)
            case Deferred(batch=name):
                return submitted(case, "queued", lambda unit: bool(unit.queued), name)
            case Mailbox():
                return _mailbox(case, condition)
            case Retries():
                return _retries(case, condition)
            case Struck():
                text = conditions.observed(condition, case.trace)
                wrong = () if conditions.seems(condition, case.trace) else (text,)
                return Opinion(1, wrong, text, text)

    return check


def _mailbox(case: Case, condition: Mailbox) -> Opinion:
    entries = [
        entry
        for node, found in case.evidence.mailboxes.items()
        if condition.host in (None, node)
        for entry in found
        if canonical(entry.address) == canonical(condition.address)
    ]
    text = f"the mailbox of {condition.address} holds {len(entries)} messages"
    wrong = () if condition.fits(len(entries)) else (f"{text}: {condition}",)
    return Opinion(len(case.evidence.mailboxes), wrong, text, text)


def _retries(case: Case, condition: Retries) -> Opinion:
    times = sorted(
        at
        for sent in case.evidence.submissions
        if sent.batch == condition.batch
        for at in case.trace.fates[sent.message].retries
    )
    text = conditions.told(times, condition.seconds)
    reached = conditions.rush(times, condition.seconds) >= condition.count
    return Opinion(len(times), () if reached else (text,), text, text)


def submitted(case: Case, word: str, good: Callable[[Unit], bool], batch: str = "") -> Opinion:
    """Whether each message and recipient that was submitted (of one batch, or of all) is `word`."""
    keys = [
        (sent.message, canonical(recipient))
        for sent in case.evidence.submissions
        if not batch or sent.batch == batch
        for recipient in sent.recipients
    ]
    units = [case.ledger.units[key] for key in keys]
    wrong = tuple(f"{unit}: {unit.state}" for unit in units if not good(unit))
    text = f"{len(units) - len(wrong)} of {len(units)} are {word}"
    return Opinion(len(units), wrong, text, text)
