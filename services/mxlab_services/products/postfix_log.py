"""The grammar of Postfix's log: its lines as facts.

A line is read by whoever wrote it (smtpd, qmgr ...). What belongs to one message is spread over
lines of several processes; some of them are kept until the line that completes a fact.

Long: the patterns of one log, and a method for each of its writers.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.products.base import (
    Arrived,
    Ended,
    Expired,
    Fact,
    HostTried,
    Left,
    Refusal,
    Serving,
    Told,
)

KEPT = 10_000  # messages, and processes, of which something is kept at a time
NOTHING: tuple[Fact, ...] = ()

_STAMP = r"(?:\w{3} [ \d]\d \d\d:\d\d:\d\d [^ ]+ )?"
_LINE = re.compile(rf"{_STAMP}postfix/(?:[\w.-]+/)*([\w-]+)\[(\d+)\]: (.*)", re.DOTALL)
_ID = r"([0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}|[0-9A-F]{6,})"  # long, or short and of hex digits
_ABOUT = re.compile(rf"{_ID}: (.*)", re.DOTALL)
_SEVERE = re.compile(rf"(?:{_ID}: )?(?:warning|error|fatal|panic): ")

_STATUS = re.compile(
    r"to=<(.*?)>, (?:orig_to=<.*?>, )?relay=([^ ,]*)(?: \[[^ ]*\])?, (?:conn_use=\d+, )?"
    r"delay=[\d.]+(?:, delays=[\d.]+/[\d.]+/([\d.]+)/([\d.]+))?, "
    r"dsn=([\d.]+), status=([\w-]+) \((.*)\)",
    re.DOTALL,
)
_RELAY = re.compile(r"(.*)\[([^\[\]]*)\](?::\d+)?")
_OUTCOMES: dict[str, Literal["delivered", "deferred", "failed"]] = {
    "sent": "delivered", "deferred": "deferred", "bounced": "failed",
}  # fmt: skip
_MAILBOX = "virtual"
_DOUBTFUL = "message may be sent more than once"
_SAID = re.compile(
    r"host (.*?)\[([^\[\]]*)\] (?:said|refused to talk to me): (\d{3}[ -].*?)"
    r"(?: \(in reply to (.*) command\))?",
    re.DOTALL,
)
_BROKEN = re.compile(
    r"(?:lost connection|conversation) with (.*?)\[([^\[\]]*)\] (?:timed out )?while (.*)",
    re.DOTALL,
)
_CONNECT = re.compile(r"connect to (.*?)\[([^\[\]]*)\](?::[\w-]+)?: (.*)", re.DOTALL)
_NO_TLS = re.compile(r"SSL_connect error to (.*?)\[([^\[\]]*)\](?::\w+)?: (.*)", re.DOTALL)
_STAGES = (  # a word of what Postfix was doing or had said -> events.Tried's stage
    ("greeting", "greeting"), ("STARTTLS", "starttls"), ("LO handshake", "ehlo"), ("LO", "ehlo"),
    ("MAIL", "mail"), ("RCPT", "rcpt"), ("end of", "dot"), ("body", "dot"), ("DATA", "data"),
)  # fmt: skip

_PEER = r"[^ ]*?\[([^\[\]]*)\]"
_CLIENT = re.compile(rf"client={_PEER}(?:,.*)?")
_INFO = re.compile(
    rf"info: RCPT from {_PEER}: .*; from=<(.*?)> to=<(.*?)> proto=(\w+)(?: helo=<(.*)>)?",
    re.DOTALL,
)
_REJECT = re.compile(
    rf"reject: (\S+) from {_PEER}: (\d{{3}} .*?)(?:; (?:from=<(.*?)> )?(?:to=<(.*?)> )?"
    r"proto=\w+(?: helo=<.*>)?)?",
    re.DOTALL,
)
_ACTIVE = re.compile(r"from=<(.*?)>, size=(\d+), nrcpt=\d+ \(queue active\)")
_EXPIRED = re.compile(r"from=<.*>, status=(?:expired|force-expired), returned to sender")
_MESSAGE_ID = re.compile(r"(?:resent-)?message-id=(.*)", re.DOTALL)
_PICKED = re.compile(r"uid=\d+ from=<(.*)>.*", re.DOTALL)
_NOTIFICATION = re.compile(
    rf"(sender|postmaster) (non-delivery|delay|delivery status)[ \w]* notification: {_ID}"
)
_ACTIONS: dict[str, Literal["failed", "delayed", "delivered"]] = {
    "non-delivery": "failed", "delay": "delayed", "delivery status": "delivered",
}  # fmt: skip

# Lines that are understood and say nothing of these facts, by who writes them.
_PLAIN = {
    "smtpd": re.compile(
        r"(?:connect|disconnect) from .*|(?:lost connection|timeout|too many errors"
        r"|improper command pipelining) after .*|(?:\w+ )?TLS connection established .*"
        r"|SSL_accept error .*"
        r"|setting up TLS connection .*|table .* has changed -- restarting|NOQUEUE: client=.*",
        re.DOTALL,
    ),
    "smtp": re.compile(
        r"(?:\w+ )?TLS connection established .*|setting up TLS .*"
        r"|certificate verification failed .*|server certificate verification failed .*"
        r"|table .* has changed -- restarting|(?:enabling|disabling) PIX .*"
        r"|Host offered STARTTLS: .*|.*Cannot start TLS: .*|breaking line .*"
        r"|TLS session .*|Server configuration error.*",
        re.DOTALL,
    ),
    "master": re.compile(r"reload -- version .*|terminating on signal \d+|.*(?:stopped|exited).*"),
    "qmgr": re.compile(
        r"skipped, still being delivered|.*has changed -- restarting", re.DOTALL,
    ),
    "cleanup": re.compile(r"(?:replace|prepend|hold|info|discard): .*|table .*", re.DOTALL),
    "anvil": re.compile(r"statistics: .*"),
    "scache": re.compile(r"statistics: .*"),
    "postsuper": re.compile(
        r"(?:Deleted|Requeued|Placed on hold|Released from hold|Force-expired): .*"
        r"|placed on hold|released from hold|expired|released|.* from hold.*"
    ),
    "trivial-rewrite": re.compile(r"table .* has changed -- restarting"),
    "virtual": re.compile(r"table .* has changed -- restarting"),
    "postlogd": re.compile(r"consider .*"),
    "postfix-script": re.compile(r".*"),
}  # fmt: skip

K = TypeVar("K")
V = TypeVar("V")


class _Latest(OrderedDict[K, V], Generic[K, V]):
    """A dictionary that forgets its oldest entries."""

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > KEPT:
            self.popitem(last=False)


class _Taken(Struct, frozen=True):
    """What smtpd says of a recipient that it takes."""

    sender: str
    recipient: str
    protocol: str
    helo: str


class PostfixGrammar:
    """Reads one life of a Postfix (a Grammar)."""

    def __init__(self) -> None:
        self._coming: _Latest[str, Arrived] = _Latest()  # not in the active queue yet
        self._unexplained: _Latest[str, Arrived] = _Latest()  # made by Postfix, not told for whom
        self._senders: _Latest[str, str] = _Latest()
        self._first: _Latest[str, _Taken] = _Latest()  # by smtpd's process: it has no id yet
        self._tried: _Latest[str, list[HostTried]] = _Latest()  # by smtp's process
        self._doubts: _Latest[str, dict[str, HostTried]] = _Latest()  # by queue id and process
        self._readers: dict[str, Callable[[str, str, str], Sequence[Fact] | None]] = {
            "smtpd": self._smtpd,
            "cleanup": self._cleanup,
            "pickup": self._pickup,
            "qmgr": self._qmgr,
            "bounce": self._bounce,
            "smtp": self._smtp,
            "postsuper": self._postsuper,
            "master": self._master,
        }

    def read(self, line: str) -> Sequence[Fact] | None:
        found = _LINE.fullmatch(line.rstrip("\r\n"))
        if found is None:
            return None
        daemon, process, text = found.groups()
        daemon = {"relay": "smtp", "lmtp": "smtp", "defer": "bounce", "trace": "bounce"}.get(
            daemon, daemon
        )
        about = _ABOUT.fullmatch(text)
        queue_id, said = about.groups() if about else ("", text)
        facts = self._facts(daemon, process, queue_id, said)
        if facts is None:
            plain = _PLAIN.get(daemon)
            known = plain is not None and plain.fullmatch(said)
            return NOTHING if known or _SEVERE.match(text) else None
        return facts

    def _facts(self, daemon: str, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        if queue_id and (status := _STATUS.fullmatch(said)):
            doubt = self._doubts.get(queue_id, {}).get(process)
            facts = [*self._walk(process, queue_id), *_ended(queue_id, status, doubt)]
            return self._explained(queue_id, facts)
        reader = self._readers.get(daemon)
        return reader(process, queue_id, said) if reader else None

    def _explained(self, queue_id: str, facts: Sequence[Fact]) -> Sequence[Fact]:
        """With the arrival before, where it waited to be told what the message is for."""
        arrival = self._unexplained.pop(queue_id, None)
        return facts if arrival is None else [arrival, *facts]

    # --- by who writes -----------------------------------------------------------------------

    def _smtpd(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        said = said.removeprefix("NOQUEUE: ")
        if found := _INFO.fullmatch(said):
            peer, sender, recipient, protocol, helo = found.groups("")
            self._take(process, queue_id, _Taken(sender, recipient, protocol, helo))
            return NOTHING
        if queue_id and (found := _CLIENT.fullmatch(said)):
            self._coming[queue_id] = Arrived(queue_id, peer=found[1])
            if (first := self._first.pop(process, None)) is not None:
                self._take(process, queue_id, first)
            return NOTHING
        if found := _REJECT.fullmatch(said):
            verb, peer, reply, sender, recipient = found.groups("")
            return [Refusal(
                queue_id, verb=verb, reply=reply, peer=peer, sender=sender, recipient=recipient
            )]  # fmt: skip
        return None

    def _take(self, process: str, queue_id: str, taken: _Taken) -> None:
        arrival = self._coming.get(queue_id)
        if arrival is None:
            self._first[process] = taken
            return
        self._coming[queue_id] = replace(
            arrival,
            recipients=(*arrival.recipients, taken.recipient),
            helo=taken.helo,
            protocol=taken.protocol,
        )

    def _cleanup(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        if queue_id and (found := _MESSAGE_ID.fullmatch(said)):
            arrival = self._coming.get(queue_id) or Arrived(queue_id)
            if not said.startswith("resent-"):
                self._coming[queue_id] = replace(arrival, message_id=found[1].removeprefix("<>"))
            return NOTHING
        return None

    def _pickup(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        if queue_id and _PICKED.fullmatch(said):
            self._coming[queue_id] = Arrived(queue_id, protocol="local")
            return NOTHING
        return None

    def _qmgr(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        if queue_id and said == "removed":
            self._senders.pop(queue_id, None)
            self._doubts.pop(queue_id, None)
            return self._explained(queue_id, [Left(queue_id)])
        if queue_id and _EXPIRED.fullmatch(said):
            return self._explained(queue_id, [Expired(queue_id)])
        found = _ACTIVE.fullmatch(said)
        if not queue_id or found is None:
            return None
        self._senders[queue_id] = found[1]
        self._doubts.pop(queue_id, None)  # a new attempt
        arrival = self._coming.pop(queue_id, None)
        if arrival is None:  # it was in the queue before
            return NOTHING
        arrival = replace(arrival, sender=found[1], size=int(found[2]))
        if arrival.peer or arrival.protocol or arrival.about:
            return [arrival]
        self._unexplained[queue_id] = arrival
        return NOTHING

    def _bounce(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        found = _NOTIFICATION.fullmatch(said)
        if not queue_id or found is None:
            return None
        whom, kind, notification = found.groups()
        if whom == "postmaster":
            return self._explained(notification, NOTHING)
        told = Told(queue_id, action=_ACTIONS[kind], notification=notification)
        arrival = self._unexplained.pop(notification, None) or self._coming.pop(notification, None)
        if arrival is None:  # it was told of
            return [told]
        to = self._senders.get(queue_id)
        return [told, replace(arrival, about=queue_id, recipients=(to,) if to else ())]

    def _smtp(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        if not queue_id and (found := _CONNECT.fullmatch(said)):
            return self._keep(process, found, "connect")
        if not queue_id and (found := _NO_TLS.fullmatch(said)):
            return self._keep(process, found, "starttls")
        if queue_id and (found := _SAID.fullmatch(said)):
            host, address, reply, command = found.groups("")
            stage = _stage(command or "greeting")
            return [
                *self._walk(process, queue_id),
                HostTried(queue_id, host=host, address=address, stage=stage, reply=reply),
            ]
        if queue_id and (found := _BROKEN.fullmatch(said)):
            tried = HostTried(
                queue_id, host=found[1], address=found[2], stage=_stage(found[3]), reply=said
            )
            if said.endswith(_DOUBTFUL):
                doubts = self._doubts.get(queue_id, {})
                self._doubts[queue_id] = doubts | {process: tried}
            return [*self._walk(process, queue_id), tried]
        return None

    def _keep(self, process: str, found: re.Match[str], stage: str) -> Sequence[Fact]:
        tried = HostTried(host=found[1], address=found[2], stage=stage, reply=found[3])
        self._tried[process] = [*self._tried.get(process, ()), tried]
        return NOTHING

    def _walk(self, process: str, queue_id: str) -> list[HostTried]:
        """The hosts that the process has tried for the message of which it speaks now."""
        return [replace(one, queue_id=queue_id) for one in self._tried.pop(process, ())]

    def _postsuper(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        return [Left(queue_id)] if queue_id and said in ("removed", "requeued") else None

    def _master(self, process: str, queue_id: str, said: str) -> Sequence[Fact] | None:
        return [Serving()] if said.startswith("daemon started -- version ") else None


def _ended(queue_id: str, status: re.Match[str], doubt: HostTried | None) -> Sequence[Fact]:
    """What a line with a recipient's status says. `doubt`: the host that may have taken the
    message, before the attempt went on to another."""
    recipient, relay, connecting, sending, enhanced, word, text = status.groups()
    if word not in _OUTCOMES:  # of an address that was only probed
        return NOTHING
    outcome: Literal["delivered", "deferred", "failed", "unknown"] = _OUTCOMES[word]
    if outcome == "deferred" and text.endswith(_DOUBTFUL):
        outcome = "unknown"
    said, there = _SAID.fullmatch(text), _RELAY.fullmatch(relay)
    if said is not None:
        reply = said[3]
    else:
        reply = text if re.match(r"[245]\d\d[ -]", text) else f"{enhanced} {text}"
    end = Ended(
        queue_id, recipient=recipient, outcome=outcome, reply=reply,
        host=there[1] if there else "", address=there[2] if there else "",
        mailbox=relay == _MAILBOX,
        seconds=float(connecting or 0) + float(sending or 0),
    )  # fmt: skip
    if doubt is None:
        return [end]
    return [
        Ended(
            queue_id, recipient=recipient, outcome="unknown", reply=doubt.reply,
            host=doubt.host, address=doubt.address, goes_on=True,
        ),
        end,
    ]  # fmt: skip


def _stage(text: str) -> str:
    return next((stage for word, stage in _STAGES if word in text), "connect")
