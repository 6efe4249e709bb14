"""A model of a server that sends: it keeps every rule but the one that it is told to break.

It takes mail as a RogueServer, and hands it to scripted peers in memory, all at once: its time is a
number that it counts up. What the peers hear goes to a PeerLog, as from a lab.

Long: one model, with a way to break it for each of the rules of `SENDING`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mxlab.backends.base import Lab
from mxlab.conform.place import (
    CLOSED,
    DOMAINS,
    LIFETIME,
    OFFERS,
    PLAIN,
    SUBJECT,
    WARNING,
    Surroundings,
)
from mxlab.conform.record import PeerLog
from mxlab.conform.rule import ConformRule
from mxlab.model.topology import Topology
from mxlab_services.control.peers import PeerScript, PeerWord
from mxlab_services.roles.scripted import ScriptedServer
from tests.support.rogue_server import RogueServer

PACE = 0.003  # real seconds for one of a rule's
_ADDRESS = re.compile("<([^>]*)>")
_REPORT = """\
From: <mailer-daemon@mx.example.test>
To: <{sender}>
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.test
Arrival-Date: Fri, 27 Nov 2026 12:00:00 +0000

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; peer
Diagnostic-Code: smtp; {said}
Will-Retry-Until: never

--b
Content-Type: message/rfc822

{content}
--b--
"""


class _Heard(ScriptedServer):
    """A peer whose events go to a log at once."""

    def __init__(self, name: str, sender: "RogueSender") -> None:
        super().__init__(name, cast("Any", sender))
        self._sender = sender

    def note(self, session: int, word: PeerWord, data: bytes = b"") -> None:
        super().note(session, word, data)
        self._sender.log.add(self.name, self.record[-1])


@dataclass
class _Mail:
    """What waits: a message for one domain. `begun`: when it was taken."""

    sender: str
    rcpts: list[str]
    content: bytes
    eightbit: bool = False
    utf8: bool = False
    silent: bool = False  # NOTIFY=NEVER
    begun: float = 0.0
    warned: bool = False


@dataclass
class RogueSender:
    """`breaks` is the id of the rule that is not kept. `around`: how the rules see it."""

    breaks: str = ""
    log: PeerLog = field(default_factory=lambda: PeerLog(PACE))
    now: float = 0.0
    failing: bool = False  # DNS
    waiting: list[_Mail] = field(default_factory=list)
    lost: bool = False  # what it had is gone
    _sessions: int = 0
    _flip: int = 0
    _dead: bool = False

    def __post_init__(self) -> None:
        names = {host for hosts in DOMAINS.values() for host in hosts if host != SUBJECT}
        self.peers = {name: _Heard(name, self) for name in names}

    def time(self) -> float:
        return self.now

    def follow(self, rules: Iterable[ConformRule[Surroundings]]) -> None:
        """Give the peers their scripts."""
        chosen = list(rules)
        for name, peer in self.peers.items():
            wanted = [reply for rule in chosen for host, reply in rule.script if host == name]
            peer.script = PeerScript(tuple(wanted), OFFERS.get(name, PLAIN), name not in CLOSED)

    def server(self) -> RogueServer:
        """What takes mail for it."""
        domains = ("example.test", *DOMAINS)
        return RogueServer(domains=domains, open=True, relay=self.take)

    def around(self, server: RogueServer) -> Surroundings:
        lab = cast("Lab", _OneNode(self))
        return Surroundings(lab, server.subject(), self.log)

    # --- its life, as b4-durable wants it ---------------------------------------------------------

    async def kill(self) -> None:
        if self.breaks == "b4-durable":
            self.waiting = []

    async def start(self) -> None:
        self._dead = False
        self.run()

    # --- taking mail ------------------------------------------------------------------------------

    def take(self, mail: str, rcpts: list[str], content: bytes) -> None:
        sender = _ADDRESS.findall(mail)[0]
        silent = any("NOTIFY=NEVER" in line for line in rcpts)
        addresses = [_ADDRESS.findall(line)[0] for line in rcpts]
        for domain in dict.fromkeys(one.rpartition("@")[2] for one in addresses):
            own = [one for one in addresses if one.endswith(f"@{domain}")]
            split = [[one] for one in own] if self.breaks == "b1-one-copy" else [own]
            for part in split:
                self.waiting.append(
                    _Mail(
                        sender,
                        part,
                        content,
                        "8BITMIME" in mail,
                        "SMTPUTF8" in mail,
                        silent,
                        self.now,
                    )
                )
        self._dead = any("b4-durable" in one for one in addresses)
        self.run()

    def run(self) -> None:
        """Try all that waits until nothing does, or until it has to wait for others."""
        while self.waiting and not self._dead:
            mail = self.waiting.pop(0)
            if self.failing and mail.rcpts[0].endswith("@fail.test"):
                if self.breaks == "a1-servfail":
                    self.fail(mail, mail.rcpts, "5.4.4", "no such domain")
                else:
                    self.waiting.append(mail)
                return
            self._attempt(mail)

    def _attempt(self, mail: _Mail) -> None:
        domain = mail.rcpts[0].rpartition("@")[2]
        match domain:
            case "null.test" if self.breaks != "a5-null-mx":
                return self.fail(mail, mail.rcpts, "5.1.10", "null MX")
            case "unusable.test" if self.breaks != "a2-no-fallback":
                return self.fail(mail, mail.rcpts, "5.4.4", "no host")
            case "self.test" if self.breaks != "a7-loop":
                return self.fail(mail, mail.rcpts, "5.4.6", "loops back")
            case "implicit.test" if self.breaks == "a2-implicit":
                return self.fail(mail, mail.rcpts, "5.4.4", "no MX")
            case "self.test":
                return None  # it waits
            case "worse.test" if self.breaks != "a7-not-worse":
                return None
            case _:
                return self._walk(mail, self._route(domain))

    def _route(self, domain: str) -> list[str]:
        hosts = DOMAINS[domain]
        route = sorted((h for h in hosts if h != SUBJECT), key=lambda host: hosts[host])
        if domain == "equal.test" and self.breaks != "a3-equals":
            self._flip += 1
            route = route[self._flip % 2 :] + route[: self._flip % 2]
        if domain == "small.test" and self.breaks == "a3-lower-first":
            route.reverse()
        return route

    def _walk(self, mail: _Mail, route: Sequence[str]) -> None:
        """Each exchange in turn; then again later, or never."""
        no_next = ("b-refused", "b-4yz-greeting", "b-5yz-greeting", "b-no-greeting")
        left, said = list(mail.rcpts), "4.4.1 nobody there"
        for peer in route:
            if not left or (peer != route[0] and self.breaks in (*no_next, "b-silent-greeting")):
                break
            left, said = self._hand_over(peer, mail, left)
        if left and self.breaks == "b-silent-greeting":
            self.fail(mail, left, "4.4.1", said)
        elif left:
            self._later(mail, left, said)

    def _later(self, mail: _Mail, left: list[str], said: str) -> None:
        self.now += 0.1 if self.breaks == "c-retry-fast" else 3.0
        age = self.now - mail.begun
        gives_up = self.breaks in (f"b-4yz-{s}" for s in ("mail", "rcpt", "data", "dot"))
        gives_up |= self.breaks in ("b-421-rcpt", "b-odd-4yz", "c-retry", "b-452-too-many")
        gives_up |= self.breaks == "b-one-deferred" or self.breaks.startswith("b-cut-")
        if gives_up or (self.breaks == "b-lost-ack" and "lost" in said):
            return
        if age > LIFETIME:
            if self.breaks != "d-expiry":
                self.fail(mail, left, "4.4.7", said)
            return
        if age > WARNING and not mail.warned:
            mail.warned = True
            self.tell(mail, left[0], "delayed", "4.4.1", said)
        mail.rcpts = left
        self.waiting.append(mail)

    def fail(self, mail: _Mail, rcpts: Sequence[str], status: str, said: str) -> None:
        """Tell the sender."""
        if self.breaks.startswith("b-5yz-") or self.breaks in ("b-odd-5yz", "b-one-refused"):
            return
        for recipient in rcpts:
            self.tell(mail, recipient, "failed", status, said)

    def tell(self, mail: _Mail, recipient: str, action: str, status: str, said: str) -> None:
        """A report, unless there must be none."""
        sender = mail.sender
        if mail.silent and self.breaks != "d3-never":
            return
        if not sender:
            if self.breaks != "d1-no-error-for-error":
                return
            sender = "postmaster@home.test"
        text = _REPORT.format(
            sender=sender, recipient=recipient, action=action, status=status, said=said,
            content=mail.content.decode("utf-8", "replace").replace("\r\n", "\n"),
        )  # fmt: skip
        if self.breaks == "d-warning":
            text = text.replace("Action: delayed\n", "")
        if self.breaks == "d2-format":
            text = text.replace("Reporting-MTA", "Reported-By")
        if self.breaks == "d2-names-recipient":
            text = re.sub("<?[^\n]*d2-names-recipient@[^\n]*", "somebody", text)
        null = "daemon@example.test" if self.breaks == "d1-null-sender" else ""
        content = text.replace("\n", "\r\n").encode()
        self._hand_over("good", _Mail(null, [sender], content), [sender])

    # --- one transaction --------------------------------------------------------------------------

    def _hand_over(self, peer: str, mail: _Mail, rcpts: list[str]) -> tuple[list[str], str]:
        """Who is left to be tried elsewhere or later, and why."""
        if not self.peers[peer].script.listening:
            return rcpts, "4.4.1 refused"
        try:
            return _Dialog(self, self.peers[peer]).run(mail, rcpts)
        except _Lost as lost:
            return rcpts, f"4.4.2 {lost}"


class _Lost(Exception):
    """The connection was lost."""


class _Dialog:
    """The client's side of a conversation with a peer in memory."""

    def __init__(self, sender: RogueSender, peer: _Heard) -> None:
        self.sender, self.peer = sender, peer
        self.breaks = sender.breaks
        sender._sessions += 1
        self.number = sender._sessions
        self.about = ""
        peer.note(self.number, "open")

    def _reply(self, stage: str, line: str) -> str:
        reply = self.peer.reply(stage, f"{self.about} {line}")
        if reply.wait and self.breaks == "b7-waits":
            self.peer.note(self.number, "early", b"RCPT")
        self.sender.now += reply.wait
        if reply.text:
            self.peer.note(self.number, "reply", reply.text.encode())
        if reply.then:
            self.peer.note(self.number, "cut")
            self.peer.note(self.number, "close")
            if not reply.text:
                raise _Lost(f"lost at {stage}")
        return reply.text

    def say(self, line: str, stage: str = "") -> str:
        verb = line.split(" ", 1)[0]
        if verb == "MAIL":
            self.about = line
        self.peer.note(self.number, "line", line.encode() + b"\r\n")
        return self._reply(stage or verb, line)

    def run(self, mail: _Mail, rcpts: list[str]) -> tuple[list[str], str]:
        greeting = self._reply("CONNECT", "")
        if greeting[:1] != "2":
            return rcpts, greeting
        offers = self._hello()
        if offers is None:
            return rcpts, "EHLO is refused"
        if no := self._unfit(mail, offers):
            self.sender.fail(mail, rcpts, no, "it does not fit")
            return [], ""
        said = self.say(self._mail(mail, offers))
        if said[:1] != "2":
            return self._refused(mail, rcpts, said)
        taken: list[str] = []
        left: list[str] = []
        for recipient in rcpts:
            said = self.say(f"RCPT TO:<{recipient}>")
            if said[:1] == "2" and not (self.breaks == "b-odd-2yz" and said[:3] == "259"):
                taken.append(recipient)
            elif said[:1] == "5":
                self.sender.fail(mail, [recipient], "5.1.1", said)
            else:
                left.append(recipient)
        if not taken:
            self._bye()
            return left, said
        back, why = self._data(mail, taken, rcpts)
        return [*left, *back], why or said

    def _hello(self) -> str | None:
        name = "mx" if self.breaks == "s-out-ehlo" else "mx.example.test"
        said = self.say(f"EHLO {name}")
        if said[:1] != "2":
            if self.breaks == "b7-helo":
                return None
            self.say(f"HELO {name}")
            return ""
        if "STARTTLS" in said and self.say("STARTTLS")[:1] != "2":
            return None if self.breaks == "b7-starttls-refused" else said
        return said

    def _unfit(self, mail: _Mail, offers: str) -> str:
        limit = re.search(r"SIZE (\d+)", offers)
        if limit and int(limit[1]) < len(mail.content) and self.breaks != "b7-too-large":
            return "5.3.4"
        if mail.utf8 and "SMTPUTF8" not in offers and self.breaks != "b7-utf8-to-ascii":
            return "5.6.7"
        if mail.eightbit and "8BITMIME" not in offers and self.breaks != "b7-8bit-to-7bit":
            return "5.6.3"
        return ""

    def _mail(self, mail: _Mail, offers: str) -> str:
        sender = "srs@mx.test" if self.breaks == "e3-envelope" else mail.sender
        size = "SIZE" in offers and self.breaks != "b7-size-told"
        size |= self.breaks == "b7-no-parameters"
        return f"MAIL FROM:<{sender}>" + (f" SIZE={len(mail.content)}" if size else "")

    def _data(self, mail: _Mail, taken: list[str], rcpts: list[str]) -> tuple[list[str], str]:
        said = self.say("DATA")
        if said[:1] != "3":
            return self._refused(mail, taken, said)
        content = mail.content
        if self.breaks != "b7-out-dots":
            content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        if self.breaks == "b6-out-line-ends":
            content = content.replace(b"hello\r\n", b"hello\n")
        self.peer.note(self.number, "content", content)
        said = self._reply("DOT", "")
        self._bye()
        if self.breaks == "b-one-deferred" and len(rcpts) > len(taken):
            return taken, ""
        if self.breaks == "b-multiline" and "\n" in said:
            return taken, said
        return ([], "") if said[:1] == "2" else self._refused(mail, taken, said)

    def _bye(self) -> None:
        if self.breaks != "s-out-quit":
            self.say("QUIT")
        self.peer.note(self.number, "close")

    def _refused(self, mail: _Mail, rcpts: list[str], said: str) -> tuple[list[str], str]:
        if said[:1] != "5":
            return rcpts, said
        self.sender.fail(mail, rcpts, "5.7.1", said)
        return [], ""


class _OneNode:
    """As much of a lab as the rules ask for here: the node under test."""

    topology = Topology()

    def __init__(self, sender: RogueSender) -> None:
        self.nodes = {SUBJECT: sender}
