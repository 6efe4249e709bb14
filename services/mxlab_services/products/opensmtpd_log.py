"""The grammar of OpenSMTPD's log, as `smtpd -d -T mta -T bounce` writes it.

A message is its queue id (`msgid`), a recipient of it an envelope, whose id begins with that. What
the trace has of a conversation tells how far it went, and what the host calls itself; by the name
in the log, which is of the reverse zone, nobody would find it among exchanges.

Long: one reader for each process's lines, over the state of its sessions.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

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

Outcome = Literal["delivered", "deferred", "failed", "unknown"]

_SESSION = re.compile(r"([0-9a-f]{16}) (smtp|mta|mda) (.*)", re.DOTALL)
_CONNECTED = re.compile(r"connected address=(\S+) host=.*")
_MESSAGE = re.compile(r"message msgid=([0-9a-f]{8}) size=(\d+) nrcpt=(\d+) proto=(\S+)")
_ENVELOPE = re.compile(r"envelope evpid=([0-9a-f]{16}) from=<(.*?)> to=<(.*)>")
_REFUSED = re.compile(r'failed-command command="(.*)" result="(.*)"', re.DOTALL)
_CONNECTING = re.compile(r"connecting address=\S*?://(\S+):\d+ host=(\S+)")
_DELIVERY = re.compile(
    r"delivery evpid=([0-9a-f]{16}) from=<(.*?)> to=<(.*?)> (?:rcpt=<.*?> )?"
    r'source="(.*?)" relay="(.*?)" delay=(\S+) result="(\w+)" stat="(.*)"',
    re.DOTALL,
)
_LOCAL = re.compile(
    r"delivery evpid=([0-9a-f]{16}) from=<(.*?)> to=<(.*?)> (?:rcpt=<.*?> )?"
    r"user=(\S+) delay=(\S+) result=(\w+) stat=(.*)",
    re.DOTALL,
)
_MTA_ERROR = re.compile(r"error reason=(.*)", re.DOTALL)
_LATER_ERROR = re.compile(
    r"smtp-out: Error on session ([0-9a-f]{16}) after \d+ messages? sent: (.*)", re.DOTALL
)
_TRACE = re.compile(r"mta: (0x[0-9a-f]+): (.*)", re.DOTALL)
_STATE = re.compile(r"MTA_\w+ -> MTA_(\w+)")
_GREETED = re.compile(r"<<< 2(?:20|50)[ -]([A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z0-9-]+)(?:\s|$)")
_QUEUE = re.compile(
    r"(?:delivery|relay): (Expire|Remove) for ([0-9a-f]{16}): from=<(.*?)>, to=<.*?>, "
    r"rcpt=<.*?>, delay=\S+, stat=.*"
)
_RELAY = re.compile(r"(\S+)(?: \((\S+)\))?")
# Lines that say nothing of a message's fate that another one does not say, too.
_OTHER_SMTP = re.compile(r"disconnected .*|tls ciphers=.*|client-cert-check .*|bad-input .*")
_OTHER_MTA = re.compile(
    r"connected|disconnected .*|tls ciphers=.*|server-cert-check .*|host-rejects-all-mails"
    r"|ssl_check_name: .*|closing reason=.*"
)
_STARTING = re.compile(r"info: OpenSMTPD (\S+) starting")
_ASIDE = re.compile(
    r"info: .*|smtp-out: .*|bounce: 0x.*|configuration OK|debug: .*|trace: .*"
    r"|warn: (?:purge_task: |queue: (?:no return path|double bounce)!|Couldn't find backup "
    r"|smtpd: parent_forward_open: |loop detected|.* injecting failure report on ).*"
    r"|proxy 0x[0-9a-f]+ event=closed .*|getnameinfo: .*|getaddrinfo: .*"
    r"|(?:[a-z ]+: )?(?:exiting|parent terminating.*|.* exiting)"
)
# How far a conversation had come, by the state of the session.
_STAGES = {
    "INIT": "connect", "BANNER": "greeting", "EHLO": "ehlo", "HELO": "ehlo",
    "STARTTLS": "starttls", "AUTH": "ehlo", "READY": "idle", "MAIL": "mail", "RCPT": "rcpt",
    "DATA": "data", "BODY": "data", "EOM": "dot", "RSET": "idle", "QUIT": "idle",
}  # fmt: skip
_SESSIONS = 1000
_VERBS = ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "STARTTLS", "AUTH", "RSET", "VRFY", "ETRN")


class NoticeFound(Struct, frozen=True):
    """What a notification in the queue says: about which message, and what befell that."""

    about: str
    action: Literal["failed", "delayed", "delivered", "relayed"]


class SpoolReader(Protocol):
    """What the queue's files tell that the log does not."""

    def envelopes(self, queue_id: str) -> set[str]:
        """The ids of a message's envelopes, without those of notifications about it."""
        ...

    def notice(self, queue_id: str) -> NoticeFound | None:
        """What a message says, if it is a notification of this server's that is still there."""
        ...


class _Incoming(Struct):
    """A session of the edge. `message`: the one that was taken last, with `missing` envelopes."""

    peer: str = ""
    message: "_InTransaction | None" = None


class _InTransaction(Struct):
    queue_id: str
    size: int
    missing: int
    protocol: str
    sender: str = ""
    recipients: list[str] = field(default_factory=list)


class _Outgoing(Struct):
    """A session with another host. `pointer`: by which the trace calls it."""

    address: str
    name: str
    stage: str = "connect"
    heard: bool = False  # its name is what it says of itself
    sent: bool = False  # the final dot, and no reply to it yet
    broke: str = ""  # why it did
    told: str = ""  # the reply that was told of already, to a command for all of a message


class OpensmtpdGrammar:
    """Reads the lines in order."""

    def __init__(self, spool: SpoolReader) -> None:
        self._spool = spool
        self.version = ""  # of OpenSMTPD, once it has begun
        self._incoming: dict[str, _Incoming] = {}
        self._outgoing: dict[str, _Outgoing] = {}
        self._traced: dict[str, _Outgoing] = {}  # by pointer
        self._began: _Outgoing | None = None  # its pointer comes with the next line of the trace
        self._names: dict[str, str] = {}  # of hosts, as they call themselves, by address
        self._waiting: dict[str, set[str]] = {}  # by queue id: envelopes of which no end is known
        self._failed: dict[str, str] = {}  # by queue id: the sender, who has to hear of it

    def read(self, line: str) -> Sequence[Fact] | None:
        """The facts of a line; None where it is not understood."""
        if found := _SESSION.fullmatch(line):
            session, kind, text = found.groups()
            by_kind: dict[str, Callable[[str, str], Sequence[Fact] | None]] = {
                "smtp": self._smtp, "mta": self._mta, "mda": self._mda,
            }  # fmt: skip
            return by_kind[kind](session, text)
        if found := _TRACE.fullmatch(line):
            return self._trace(found[1], found[2])
        if found := _LATER_ERROR.fullmatch(line):
            return self._broken(found[1], found[2])
        if found := _QUEUE.fullmatch(line):
            return self._dropped(*found.groups())
        if found := _STARTING.fullmatch(line):
            self.version = found[1]
            return (Serving(),)
        return () if not line or _ASIDE.fullmatch(line) else None

    # --- what comes in ----------------------------------------------------------------------------

    def _smtp(self, session: str, text: str) -> Sequence[Fact] | None:
        if found := _CONNECTED.fullmatch(text):
            peer = found[1].removeprefix("[").removesuffix("]").removeprefix("IPv6:")
            self._incoming[session] = _Incoming("" if peer == "local" else peer)
            return ()
        if text.startswith("event=proxy "):  # by another session's id, which comes once only
            return ()
        incoming = self._incoming.setdefault(session, _Incoming())
        if found := _MESSAGE.fullmatch(text):
            queue_id, size, recipients, protocol = found.groups()
            incoming.message = _InTransaction(queue_id, int(size), int(recipients), protocol)
            return ()
        if found := _ENVELOPE.fullmatch(text):
            return self._envelope(incoming, *found.groups())
        if found := _REFUSED.fullmatch(text):
            return _refusal(incoming.peer, found[1], found[2])
        if text.startswith("disconnected"):
            del self._incoming[session]
        return () if _OTHER_SMTP.fullmatch(text) else None

    def _envelope(
        self, incoming: _Incoming, envelope: str, sender: str, recipient: str
    ) -> Sequence[Fact] | None:
        taken = incoming.message
        if taken is None or not envelope.startswith(taken.queue_id):
            return None
        taken.sender = sender
        taken.recipients.append(recipient)
        self._waiting.setdefault(taken.queue_id, set()).add(envelope)
        if len(taken.recipients) < taken.missing:
            return ()
        incoming.message = None
        return self._arrived(taken, incoming.peer)

    def _arrived(self, taken: _InTransaction, peer: str) -> Sequence[Fact]:
        self._waiting[taken.queue_id] |= self._spool.envelopes(taken.queue_id)
        notice = None
        if not taken.sender and not peer:
            notice = self._spool.notice(taken.queue_id) or self._supposed(taken.recipients)
        arrived = Arrived(
            taken.queue_id,
            sender=taken.sender,
            recipients=tuple(taken.recipients),
            size=taken.size,
            peer=peer,
            protocol=taken.protocol if peer else "local",
            about=notice.about if notice else "",
        )
        if notice is None or notice.action == "relayed":
            return (arrived,)
        self._failed.pop(notice.about, None)
        told = Told(notice.about, action=notice.action, notification=taken.queue_id)
        return arrived, told

    def _supposed(self, recipients: Sequence[str]) -> NoticeFound | None:
        """What a notification that has left already was about, if only one thing comes into
        question."""
        about = [one for one, sender in self._failed.items() if sender in recipients]
        return NoticeFound(about[0], "failed") if len(about) == 1 else None

    # --- what goes out ----------------------------------------------------------------------------

    def _mta(self, session: str, text: str) -> Sequence[Fact] | None:
        if found := _CONNECTING.fullmatch(text):
            address = found[1].removeprefix("[").removesuffix("]").removeprefix("IPv6:")
            known = self._names.get(address)
            began = _Outgoing(address, known or _not_null(found[2]) or address)
            self._outgoing[session] = self._began = began
            while len(self._outgoing) > _SESSIONS:  # those that broke are told of no more
                del self._outgoing[next(iter(self._outgoing))]
            return ()
        if found := _MTA_ERROR.fullmatch(text):
            return self._broken(session, found[1])
        if found := _DELIVERY.fullmatch(text):
            return self._delivery(session, *found.groups())
        if text.startswith("disconnected"):
            self._outgoing.pop(session, None)
        return () if _OTHER_MTA.fullmatch(text) else None

    def _trace(self, pointer: str, text: str) -> Sequence[Fact]:
        if self._began is not None:
            self._traced[pointer], self._began = self._began, None
        session = self._traced.get(pointer)
        if session is None:
            return ()
        if state := _STATE.fullmatch(text):
            session.stage = _STAGES.get(state[1], session.stage)
        elif text.startswith(">>>"):
            session.sent, session.told = text == ">>> .", ""
        elif text.startswith("<<<"):
            session.sent = False
            if not session.heard and (greeted := _GREETED.match(text)):
                session.heard = True
                session.name = self._names[session.address] = greeted[1].lower()
        return ()

    def _broken(self, session: str, reason: str) -> Sequence[Fact]:
        """A session failed. What it was about, if anything, is told next; before the greeting, when
        all hosts have been tried."""
        outgoing = self._outgoing.get(session)
        if outgoing is None or outgoing.stage == "idle":  # nobody waits for it
            return ()
        outgoing.broke = reason
        return (
            HostTried(
                host=outgoing.name,
                address=outgoing.address,
                stage=outgoing.stage,
                reply=_one_line(_reason(reason)),
            ),
        )

    def _delivery(
        self,
        session: str,
        envelope: str,
        sender: str,
        recipient: str,
        source: str,
        relay: str,
        _: str,
        result: str,
        stat: str,
    ) -> Sequence[Fact] | None:
        outcome = _RESULTS.get(result)
        if outcome is None:
            return None
        queue_id, outgoing = envelope[:8], self._outgoing.get(session)
        facts: list[Fact] = []
        host = address = ""
        if outgoing is not None:
            host, address = outgoing.name, outgoing.address
            if outcome == "deferred" and outgoing.sent:
                outcome = "unknown"
            elif outcome != "delivered" and stat not in (outgoing.told, outgoing.broke):
                outgoing.told = stat
                stage = outgoing.stage
                facts.append(
                    HostTried(
                        queue_id, host=host, address=address, stage=stage, reply=_one_line(stat)
                    )
                )
        ended = Ended(
            queue_id, recipient=recipient, outcome=outcome, reply=_one_line(stat), host=host,
            address=address,
        )  # fmt: skip
        facts.append(ended)
        return facts + self._end(envelope, sender, outcome)

    def _mda(self, _: str, text: str) -> Sequence[Fact] | None:
        found = _LOCAL.fullmatch(text)
        if found is None or (outcome := _RESULTS.get(found[6])) is None:
            return None
        ended = Ended(
            found[1][:8],
            recipient=found[3],
            outcome=outcome,
            reply="" if outcome == "delivered" else _one_line(found[7]),
            mailbox=outcome == "delivered",
        )
        return [ended, *self._end(found[1], found[2], outcome)]

    def _end(self, envelope: str, sender: str, outcome: Outcome) -> list[Fact]:
        """What follows for the message: that it has left, when nothing of it waits any more."""
        if outcome in ("deferred", "unknown"):
            return []
        queue_id = envelope[:8]
        if outcome == "failed" and sender:
            self._failed[queue_id] = sender
        waiting = self._waiting.get(queue_id)
        if waiting is None:
            waiting = self._waiting[queue_id] = self._spool.envelopes(queue_id)
        waiting.discard(envelope)
        if waiting:
            return []
        del self._waiting[queue_id]
        return [Left(queue_id)]

    def _dropped(self, how: str, envelope: str, sender: str) -> Sequence[Fact]:
        if how == "Remove":  # by an operator: nobody is told
            return self._end(envelope, "", "failed")
        return [Expired(envelope[:8]), *self._end(envelope, sender.removesuffix("@"), "failed")]


_RESULTS: dict[str, Outcome] = {"Ok": "delivered", "TempFail": "deferred", "PermFail": "failed"}


def _refusal(peer: str, command: str, reply: str) -> Sequence[Fact]:
    if not reply.startswith(("4", "5")):
        return ()
    word = command.partition(" ")[0].partition(":")[0].upper()
    verb = word if word in _VERBS else "DATA" if not command else "?"
    recipient = re.search(r"<(.*)>", command) if verb == "RCPT" else None
    return (
        Refusal(
            verb=verb,
            reply=_one_line(reply),
            peer=peer,
            recipient=recipient[1] if recipient else "",
        ),
    )


def _reason(text: str) -> str:
    """The host's reply where one is in it, else the system's word."""
    found = re.search(r"rejected: (\d{3}[ -].*)", text, re.DOTALL)
    return found[1] if found else text.removeprefix("IO Error: ")


def _not_null(name: str) -> str:
    return "" if name == "(null)" else name


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
