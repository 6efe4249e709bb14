"""What a scenario may wait for, forbid, or expect in the end. Named in a scenario by `key`."""

from typing import Annotated, ClassVar

import msgspec

from mxlab.model.topology import Host

# The finer rules are the services' (`mxlab.scenario.sound` asks them).
Address = Annotated[
    str,
    msgspec.Meta(pattern=r"^.+@[^@\s<>]+$", description="a mail address: local-part@domain"),
]
Id = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_-]{0,40}$",
        description="an id: at most 41 of a-z, 0-9, _ and -, a letter first",
    ),
]


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all conditions. `short` names the field that a plain string gives, if one does."""

    key: ClassVar[str]
    short: ClassVar[str] = ""


class Queue(Condition, frozen=True):
    """The queue of `host` holds every message of the batch `holds`, or just `count` messages."""

    key = "queue"
    host: Host
    holds: Id | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __str__(self) -> str:
        what = f"all of {self.holds}" if self.holds else f"{self.count} messages"
        return f"the queue of {self.host} holds {what}"


class Delivered(Condition, frozen=True):
    """Every message of the batch lies in the mailbox of each of its recipients."""

    key = "delivered"
    short = "batch"
    batch: Id

    def __str__(self) -> str:
        return f"all of {self.batch} is delivered"


class Bounced(Condition, frozen=True):
    """For each message of the batch and each recipient a notification of failure was sent."""

    key = "bounced"
    short = "batch"
    batch: Id

    def __str__(self) -> str:
        return f"all of {self.batch} has bounced"


class Deferred(Condition, frozen=True):
    """Every message of the batch waits in a queue, of whichever node, because an attempt failed:
    its own, or another's to the same destination, which counts as dead since."""

    key = "deferred"
    short = "batch"
    batch: Id

    def __str__(self) -> str:
        return f"all of {self.batch} is deferred"


class Mailbox(Condition, frozen=True, rename={"at_least": "at-least"}):
    """So many messages, of whatever sender, lie in the mailbox of `address`: `count` of them, or
    `at_least` as many; on one `host`, or on all together."""

    key = "mailbox"
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
    batch: Id
    count: Annotated[int, msgspec.Meta(ge=1)]
    seconds: Annotated[float, msgspec.Meta(gt=0)]

    def __str__(self) -> str:
        return f"{self.count} retries of {self.batch} begin within {self.seconds:g} s"


class Struck(Condition, frozen=True):
    """A fault inside a node, by its id, has struck at least `count` times since it was set."""

    key = "struck"
    short = "fault"
    fault: Id
    count: Annotated[int, msgspec.Meta(ge=1)] = 1

    def __str__(self) -> str:
        return f"{self.fault} has struck" + (f" {self.count} times" if self.count > 1 else "")


AnyCondition = Queue | Delivered | Bounced | Deferred | Mailbox | Retries | Struck
CONDITIONS: dict[str, type[AnyCondition]] = {
    kind.key: kind for kind in (Queue, Delivered, Bounced, Deferred, Mailbox, Retries, Struck)
}


def batch_of(condition: AnyCondition) -> str | None:
    """The batch that a condition speaks of, if it does."""
    match condition:
        case Queue(holds=batch):
            return batch
        case Mailbox() | Struck():
            return None
        case _:
            return condition.batch
