"""What OpenSMTPD's queue holds: its files (a folder for each message), and its tool's listing.

Guarantee: reads only; a message that leaves the queue meanwhile is none. Source: queue_fs.c and
smtpctl.c of OpenSMTPD 6.8.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct

from mxlab_services.products.base import Held
from mxlab_services.products.opensmtpd_log import NoticeFound

State = Literal["incoming", "active", "deferred", "hold"]

_ENVELOPE = re.compile(r"[0-9a-f]{16}")
_LISTED = re.compile(
    r"([0-9a-f]{16})\|\w+\|(\w+)\|([\w,]*)\|([^@]*@[^|]*)\|[^@]*@[^|]*\|([^@]*@[^|]*)"
    r"\|(\d+)\|\d+\|\d+\|(\d+)\|(\w+)\|(-?\d*)\|(.*)"
)
_RECEIVED = re.compile(rb"\(OpenSMTPD\) with \w+ id ([0-9a-f]{8})\b")
_SUBJECT = re.compile(rb"^Subject: Delivery status notification: (\w+)\s*$", re.MULTILINE)
_ACTIONS = get_args(NoticeFound.__annotations__["action"])
_REMEMBERED = 100
_NOTICE = 64 * 1024  # bytes of a notification in which all of this stands


class Listed(Struct, frozen=True):
    """An envelope, as `smtpctl show queue` lists it. `due`: real seconds until it is tried, for one
    that waits for that; `tried`: how often it was."""

    envelope: str
    notice: bool  # of a failure or a delay, to come; not a recipient
    flags: tuple[str, ...]
    sender: str
    recipient: str
    arrived: float
    tried: int
    state: str
    due: int | None
    reason: str

    @property
    def queue_id(self) -> str:
        return self.envelope[:8]

    @property
    def waits(self) -> bool:
        """Whether it would be tried if it were said now."""
        return self.state == "pending" and "suspend" not in self.flags


def listed(text: str) -> Iterator[Listed]:
    """The envelopes in what the tool wrote. Raises ValueError for a line that is none."""
    for line in text.splitlines():
        found = _LISTED.fullmatch(line)
        if found is None:
            raise ValueError(f"a line that is not understood: {line[:200]!r}")
        envelope, agent, flags, sender, to, arrived, tried, state, seconds, reason = found.groups()
        yield Listed(
            envelope=envelope,
            notice=agent == "bounce",
            flags=tuple(flags.split(",")) if flags else (),
            sender="" if sender == "@" else sender,
            recipient=to,
            arrived=float(arrived),
            tried=int(tried),
            state=state,
            due=int(seconds) if state == "pending" and seconds else None,
            reason=reason,
        )


class OpensmtpdSpool:
    """The queue in a folder. Notifications that were looked at are known when they have left."""

    def __init__(self, folder: Path) -> None:
        self._queue = folder / "queue"
        self._notices: dict[str, bytes] = {}  # by queue id: the last of them, whole

    def envelopes(self, queue_id: str) -> set[str]:
        """As `SpoolReader` has it."""
        found: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._folder(queue_id)):
                if _ENVELOPE.fullmatch(entry.name) and not _is_notice(Path(entry.path)):
                    found.add(entry.name)
        return found

    def notice(self, queue_id: str) -> NoticeFound | None:
        """As `SpoolReader` has it."""
        try:
            with (self._folder(queue_id) / "message").open("rb") as file:
                text = file.read(_NOTICE)
        except FileNotFoundError:
            return None
        if len(text) < _NOTICE:
            self._notices[queue_id] = text
            while len(self._notices) > _REMEMBERED:
                del self._notices[next(iter(self._notices))]
        subject = _SUBJECT.search(text.partition(b"\n\n")[0])
        about = [one.decode() for one in _RECEIVED.findall(text) if one.decode() != queue_id]
        action = subject[1].decode() if subject else ""
        return NoticeFound(about[0], action) if about and action in _ACTIONS else None  # type: ignore[arg-type]

    def content(self, queue_id: str) -> bytes | None:
        """The message as it would be sent on, its lines ended by CRLF; None if it has gone and was
        no notification that was looked at. Raises OSError."""
        text = self._notices.get(queue_id)
        if text is None:
            try:
                text = (self._folder(queue_id) / "message").read_bytes()
            except FileNotFoundError:
                return None
        return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def held(self, envelopes: Iterable[Listed], now: float) -> list[Held]:
        """The messages of which these are the envelopes, by queue id. `now`: Unix time."""
        by_message: dict[str, list[Listed]] = {}
        for one in envelopes:
            if not one.notice:
                by_message.setdefault(one.queue_id, []).append(one)
        return [self._held(one, by_message[one], now) for one in sorted(by_message)]

    def _held(self, queue_id: str, envelopes: list[Listed], now: float) -> Held:
        size = 0
        with contextlib.suppress(FileNotFoundError):
            size = (self._folder(queue_id) / "message").stat().st_size
        due = [int(now) + one.due for one in envelopes if one.due is not None and one.tried]
        state = _state(envelopes)
        return Held(
            queue_id=queue_id,
            state=state,
            sender=envelopes[0].sender,
            size=size,
            arrived=min(one.arrived for one in envelopes),
            reasons={one.recipient: one.reason for one in envelopes},
            next_attempt=float(min(due)) if due and state == "deferred" else None,
        )

    def _folder(self, queue_id: str) -> Path:
        return self._queue / queue_id[:2] / queue_id


def _state(envelopes: list[Listed]) -> State:
    if all("suspend" in one.flags for one in envelopes):
        return "hold"
    if any(one.state != "pending" for one in envelopes):
        return "active"
    return "deferred" if any(one.tried for one in envelopes) else "incoming"


def _is_notice(path: Path) -> bool:
    try:
        return (
            re.search(r"^type: bounce$", path.read_text("utf-8", "replace"), re.MULTILINE)
            is not None
        )
    except FileNotFoundError:
        return True  # it has gone
