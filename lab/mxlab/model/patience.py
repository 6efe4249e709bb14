"""How long an MTA of a topology waits, and what it takes at the most. Frozen values."""

from typing import Annotated

import msgspec

Duration = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", description="a duration: 500ms, 60s, 2h or 5d"
    ),
]
Limit = Annotated[int, msgspec.Meta(ge=1)]


class Patience(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long an MTA waits for each reply (RFC 5321 §4.5.3.2), in real time, and `idle`: a silent
    client for it. What is not given is as in the set `base`; None: as in the lab's own."""

    base: str | None = None
    connect: Duration | None = None
    greeting: Duration | None = None
    helo: Duration | None = None
    starttls: Duration | None = None
    mail: Duration | None = None
    rcpt: Duration | None = None
    data: Duration | None = None
    block: Duration | None = None
    dot: Duration | None = None
    quit: Duration | None = None
    idle: Duration | None = None


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an MTA takes at the most; sizes are bytes. What is not given is as in the lab's own."""

    message_size: Limit | None = None
    recipients: Limit | None = None
    hops: Limit | None = None
    sessions: Limit | None = None
    sessions_per_client: Limit | None = None
    content_in_memory: Limit | None = None
    destination_concurrency: Limit | None = None
    line_length: Limit | None = None
    commands: Limit | None = None
    errors: Limit | None = None
