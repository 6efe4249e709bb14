"""What a scenario may wait for, forbid, or expect in the end. Named in a scenario by `key`.

A condition is declared here once: its fields, what they name (by their types), and its words.
Loader, schema, lint and writer read it from here; how it is judged stands in `checks.conditions`.
"""

import typing
from typing import Annotated, ClassVar, Literal

import msgspec

from mxlab.model.reference import Address, BatchId, FaultId, references
from mxlab.model.replycode import FailureCode, ReplyCode, code_problem
from mxlab.model.topology import Host, MailHost, NameServerHost, ZoneName


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all conditions. `short` names the field that a plain string gives, if one does;
    `one_of` are fields, as in a file, of which exactly one is given."""

    key: ClassVar[str]
    short: ClassVar[str] = ""
    one_of: ClassVar[tuple[str, ...]] = ()

    def misfit(self) -> str:
        """What no type can tell of its fields; nothing where they fit together."""
        given = [getattr(self, key.replace("-", "_")) is not None for key in self.one_of]
        names = [f"`{key}`" for key in self.one_of]
        choice = " or ".join([", ".join(names[:-1]), names[-1]]) if names else ""
        article = "a" if self.key[0] not in "aeiou" else "an"
        wrong = self.one_of and sum(given) != 1
        return f"{article} {self.key} condition has either {choice}" if wrong else ""


class Queue(Condition, frozen=True, rename={"at_least": "at-least"}):
    """The queue of `host` holds every message of the batch `holds`, just `count` messages, or
    `at_least` as many."""

    key = "queue"
    one_of = ("holds", "count", "at-least")
    host: Host
    holds: BatchId | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    at_least: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def fits(self, found: int) -> bool:
        """Whether so many messages are what is meant."""
        return found >= self.at_least if self.at_least is not None else found == self.count

    def __str__(self) -> str:
        number = f"at least {self.at_least}" if self.at_least is not None else f"{self.count}"
        what = f"all of {self.holds}" if self.holds else f"{number} messages"
        return f"the queue of {self.host} holds {what}"


class Delivered(Condition, frozen=True):
    """Every message of the batch lies in the mailbox of each of its recipients."""

    key = "delivered"
    short = "batch"
    batch: BatchId

    def __str__(self) -> str:
        return f"all of {self.batch} is delivered"


class Bounced(Condition, frozen=True):
    """For each message of the batch and each recipient a notification of failure was sent; with
    `code`, for that reason."""

    key = "bounced"
    short = "batch"
    batch: BatchId
    code: FailureCode | None = None

    def misfit(self) -> str:
        return code_problem(self.code)

    def __str__(self) -> str:
        why = f" with {self.code}" if self.code is not None else ""
        return f"all of {self.batch} has bounced{why}"


class Deferred(Condition, frozen=True):
    """Every message of the batch waits in a queue, of whichever node, because an attempt failed:
    its own, or another's to the same destination, which counts as dead since."""

    key = "deferred"
    short = "batch"
    batch: BatchId

    def __str__(self) -> str:
        return f"all of {self.batch} is deferred"


class Mailbox(Condition, frozen=True, rename={"at_least": "at-least"}):
    """So many messages, of whatever sender, lie in the mailbox of `address`: `count` of them, or
    `at_least` as many; on one `host`, or on all together."""

    key = "mailbox"
    one_of = ("count", "at-least")
    address: Address
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    at_least: Annotated[int, msgspec.Meta(ge=1)] | None = None
    host: Host | None = None

    def fits(self, found: int) -> bool:
        """Whether so many messages are what is meant."""
        return found >= self.at_least if self.at_least is not None else found == self.count

    def __str__(self) -> str:
        number = f"at least {self.at_least}" if self.at_least is not None else f"{self.count}"
        where = f" on {self.host}" if self.host else ""
        return f"the mailbox of {self.address}{where} holds {number} messages"


class Retries(Condition, frozen=True):
    """At least `count` attempts at messages of the batch, each the second or a later one of its
    message, began within some `seconds` of lab time: how much the retries come in a rush."""

    key = "retries"
    batch: BatchId
    count: Annotated[int, msgspec.Meta(ge=1)]
    seconds: Annotated[float, msgspec.Meta(gt=0)]

    def __str__(self) -> str:
        return f"{self.count} retries of {self.batch} begin within {self.seconds:g} s"


class Struck(Condition, frozen=True):
    """A fault inside a node, by its id, has struck at least `count` times since it was set."""

    key = "struck"
    short = "fault"
    fault: FaultId
    count: Annotated[int, msgspec.Meta(ge=1)] = 1

    def __str__(self) -> str:
        return f"{self.fault} has struck" + (f" {self.count} times" if self.count > 1 else "")


class Observed(Condition, frozen=True, kw_only=True, rename={"at_least": "at-least"}):
    """Base of what is counted in the events: `count` times just, or `at_least` so often; else at
    least once. Where it is forbidden for a while, what was before does not count."""

    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    at_least: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def misfit(self) -> str:
        both = self.count is not None and self.at_least is not None
        return f"of `count` and `at-least` {self.key} has one at most" if both else ""

    def fits(self, found: int) -> bool:
        """Whether so many are what is meant."""
        return found == self.count if self.count is not None else found >= (self.at_least or 1)

    @property
    def often(self) -> str:
        """How often, in words."""
        if self.count is not None:
            return f" {_times(self.count)}" if self.count else ", never"
        return f" at least {_times(self.at_least)}" if self.at_least else ""


ReplyVerb = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "DOT", "ETRN"]


class Replied(Observed, frozen=True, rename={"host": "from", "at_least": "at-least"}):
    """The server `host` gave such replies: with that `code`, at that `verb` (CONNECT: the greeting;
    DOT: the end of the data), to `by`, about messages of that batch."""

    key = "reply"
    host: MailHost
    code: ReplyCode
    verb: ReplyVerb | None = None
    batch: BatchId | None = None
    by: MailHost | None = None

    def misfit(self) -> str:
        return code_problem(self.code) or super().misfit()

    def __str__(self) -> str:
        at = f" to {self.verb}" if self.verb else ""
        return f"{self.host} replies {self.code}{at}{_about(self.batch, self.by)}{self.often}"


class Attempted(Observed, frozen=True):
    """`host` was tried: somebody asked it for a connection, or began on one that was kept, to hand
    on a message; of that batch, or `by` that host."""

    key = "attempt"
    short = "host"
    host: MailHost
    batch: BatchId | None = None
    by: MailHost | None = None

    def __str__(self) -> str:
        return f"{self.host} is tried{_about(self.batch, self.by)}{self.often}"


class Notified(Observed, frozen=True):
    """Notifications of that `kind` (RFC 3464) lie in the mailbox of `address`; with that `code`
    for a recipient; about messages of that batch."""

    key = "notified"
    short = "address"
    address: Address
    kind: Literal["failed", "delayed", "delivered"] = "failed"
    code: ReplyCode | None = None
    batch: BatchId | None = None

    def misfit(self) -> str:
        wanted = {"failed": "5", "delayed": "4", "delivered": "2"}[self.kind]
        if self.code is not None and isinstance(self.code, str) and self.code[0] != wanted:
            return f"a notification that says {self.kind} has a code of class {wanted}"
        return code_problem(self.code) or super().misfit()

    def __str__(self) -> str:
        code = f" with {self.code}" if self.code is not None else ""
        what = f"{self.kind}{code}"
        return f"{self.address} is notified ({what}){_about(self.batch, None)}{self.often}"


class Queried(Observed, frozen=True):
    """A name server was asked for `name`: that `server` or any, for that `type` of record or any,
    `by` that host."""

    key = "asked"
    short = "name"
    name: ZoneName
    type: Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9-]{0,11}$")] | None = None
    server: NameServerHost | None = None
    by: MailHost | None = None

    def __str__(self) -> str:
        kind = f" {self.type}" if self.type else ""
        who = self.server or "a name server"
        return f"{who} is asked for {self.name}{kind}{_about(None, self.by)}{self.often}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _about(batch: str | None, by: str | None) -> str:
    return (f" for {batch}" if batch else "") + (f" by {by}" if by else "")


AnyCondition = (
    Queue | Delivered | Bounced | Deferred | Mailbox | Retries | Struck
    | Replied | Attempted | Notified | Queried
)  # fmt: skip
CONDITIONS: dict[str, type[AnyCondition]] = {
    kind.key: kind for kind in typing.get_args(AnyCondition)
}


def batch_of(condition: AnyCondition) -> str | None:
    """The batch that a condition speaks of, if it does."""
    return next((one.name for one in references(condition, ()) if one.what == "batch"), None)
