"""Finds the message that is meant: by Message-ID, queue id, batch, address or subject. Pure."""

import email.errors
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.header import decode_header, make_header

from mxlab.errors import UnknownName, UsageError
from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.address import canonical

LAST = "last"
MOST = 10  # choices that are listed


@dataclass(slots=True)
class Known:
    """What the events tell of one message. `about`: the message that it is a notification of."""

    message: str
    at: float
    sender: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""
    batch: str = ""
    about: str = ""
    queue_ids: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        what = f"notification about {self.about}" if self.about else repr(self.subject)
        return f"{self.message}  {self.sender or '<>'} to {', '.join(self.recipients)}  {what}"


def known(trace: Trace) -> list[Known]:
    """Every message, in the order in which they came into being."""
    found = [_known(trace, message) for message in trace.messages()]
    return sorted(found, key=lambda one: one.at)


def _known(trace: Trace, message: str) -> Known:
    own = [event for event in trace.of_message(message) if event.message == message]
    one = Known(message, own[0].at if own else 0.0)
    taken = False
    for event in own:
        if queue_id := getattr(event.body, "queue_id", ""):
            one.queue_ids.add(queue_id)
        match event.body:
            case events.Accepted() as accepted if not taken:
                taken = True
                one.sender, one.recipients = accepted.sender, tuple(accepted.recipients)
                one.subject = subject_text(accepted.subject)
                one.batch = one.batch or accepted.batch
            case events.HandedIn() as handed:
                one.batch = handed.batch
                if not one.recipients:  # it was refused, so far
                    one.sender, one.recipients = handed.sender, tuple(handed.recipients)
            case events.Bounced(about=about):
                one.about = about
            case _:
                pass
    return one


def subject_text(field_text: str) -> str:
    """A Subject as its reader sees it: encoded words (RFC 2047) decoded, where they can be."""
    try:
        return str(make_header(decode_header(field_text)))
    except (email.errors.HeaderParseError, LookupError, ValueError):
        return field_text


def find(
    trace: Trace, wanted: str | None, *, to: str = "", sender: str = "", subject: str = ""
) -> str:
    """The one message that is meant: of those that fit `to`, `sender` and `subject`, the last, or
    the one that `wanted` names; notifications are never the last while there is anything else.

    Raises UnknownName, and UsageError with the choices where several are meant.
    """
    every = known(trace)
    fitting = [one for one in every if _fits(one, to, sender, subject)]
    filters = " ".join(text for text in (to, sender, subject) if text)
    if wanted is None and not filters:
        wanted = LAST
    if wanted == LAST:
        sent = [one for one in fitting if not one.about] or fitting
        found = sent[-1:]
    elif wanted is None:
        found = fitting
    else:
        found = next(_matches(fitting, wanted), [])
    if len(found) == 1:
        return found[0].message
    name = " ".join(text for text in (wanted or "", filters) if text)
    if not found:
        raise UnknownName("message", name, [one.message for one in every[-5:]])
    listed = [str(one) for one in found[-MOST:]]
    if len(found) > MOST:
        listed.insert(0, f"{len(found) - MOST} before these")
    raise UsageError(
        f"{len(found)} messages are meant by {name!r}",
        "\n       ".join(["name one of them, or the last with `last` and --to:", *listed]),
    )


def _fits(one: Known, to: str, sender: str, subject: str) -> bool:
    return (
        (not to or any(_is(address, to) for address in one.recipients))
        and (not sender or _is(one.sender, sender))
        and subject.casefold() in one.subject.casefold()
    )


def _is(address: str, wanted: str) -> bool:
    """Whether somebody who says `wanted` means this address: all of it, or what is before the @."""
    whole = canonical(address)
    return canonical(wanted) == whole or wanted.casefold() == whole.rpartition("@")[0].casefold()


def _matches(every: list[Known], wanted: str) -> Iterator[list[Known]]:
    """What `wanted` may mean, each way in which any fit, the most certain first."""
    ways: tuple[Callable[[Known], bool], ...] = (
        lambda one: one.message in (wanted, f"<{wanted}>"),
        lambda one: wanted.upper() in one.queue_ids,
        lambda one: one.batch == wanted,
        lambda one: any(_is(address, wanted) for address in (*one.recipients, one.sender)),
        lambda one: wanted in one.message,
        lambda one: wanted.casefold() in one.subject.casefold(),
    )
    for way in ways:
        if found := [one for one in every if way(one)]:
            yield found
