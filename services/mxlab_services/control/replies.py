"""What a node answers to control requests, each struct declared once."""

from typing import Any, Literal

import msgspec


class Pong(msgspec.Struct, frozen=True):
    """`at` is lab time; `software` the product that the node runs and its version ("postfix
    3.7.11"), where it is not our own MTA."""

    node: str
    role: str
    at: float
    queued: int
    software: str = ""


class Setting(msgspec.Struct, frozen=True):
    """One setting of a node by its dotted key, its `value` as JSON has it; secrets are not shown.

    `default` is null too where there is none; `differs` is true then. `fixed` says why it cannot be
    changed while the node runs; empty where it can.
    """

    key: str
    value: Any
    default: Any = None
    differs: bool = False
    fixed: str = ""


class QueueRecipient(msgspec.Struct, frozen=True):
    address: str
    delay_reason: str = ""


class QueueEntry(msgspec.Struct, frozen=True):
    """One message in a queue, with the keys of `postqueue -j` and the lab's own after them.

    Times are lab time, seconds since the Unix epoch; sizes are bytes. `next_attempt` is the
    earliest of its recipients'.
    """

    queue_name: Literal["incoming", "active", "deferred", "hold"]
    queue_id: str
    arrival_time: int
    message_size: int
    sender: str
    recipients: list[QueueRecipient]
    message: str
    digest: str
    attempts: int
    next_attempt: float | None = None


class MailboxEntry(msgspec.Struct, frozen=True):
    """One message in a mailbox. `reverse_path` is the Return-Path's address, `recipient` that in
    Delivered-To where it is not the mailbox's own: one with a tag."""

    address: str
    name: str
    message: str
    digest: str
    size: int
    reverse_path: str
    subject: str
    delivered_at: float
    recipient: str = ""

    @property
    def addressee(self) -> str:
        """For whom the message was delivered here."""
        return self.recipient or self.address


class SubmittedMessage(msgspec.Struct, frozen=True):
    """`recipients`: those for whom it was taken; `refused`: the others, each with the last reply.
    Where there is none for whom it was taken, `queue_id` is empty."""

    message: str
    queue_id: str
    digest: str
    sender: str
    recipients: list[str]
    refused: dict[str, str] = {}


class RecordEntry(msgspec.Struct, frozen=True):
    """One transaction of the client with one host for one recipient, as the client saw it.

    acked: 250 to the final dot was read. refused: 4yz, 5yz, or cut before the dot. unknown: the dot
    was sent, the reply never read. invoked: the transaction began and nothing more is on record
    (the client died in it): to be judged as unknown.
    """

    message: str
    recipient: str
    host: str
    outcome: Literal["invoked", "acked", "refused", "unknown"]
    reply: str
    at: float


class RouteReport(msgspec.Struct, frozen=True):
    """Where a message to `address` would go from this node, and why, a decision a line."""

    address: str
    status: Literal["relay", "local", "defer", "fail"]
    targets: list[str]
    decisions: list[str]
    reply: str = ""


class DigReport(msgspec.Struct, frozen=True):
    """A DNS answer in the form that dig prints, and in parts."""

    rcode: str
    answers: list[str]
    authority: list[str]
    text: str
    milliseconds: float


class EtrnReport(msgspec.Struct, frozen=True):
    """The reply to ETRN, as `text`, and its `code` (RFC 1985 §5.3), 0 where none was read.

    `dialog` is the conversation, a line each, with `C: ` or `S: ` in front.
    """

    code: int
    text: str
    dialog: list[str]


class ZoneReport(msgspec.Struct, frozen=True):
    """A zone. `warnings`: what is served as it stands, and seldom meant. `copy_of`: where a
    secondary takes it from (addresses); without `records`, there is no copy that may be served."""

    origin: str
    serial: int
    records: list[str]
    warnings: list[str] = []
    copy_of: list[str] = []
