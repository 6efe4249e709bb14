"""The grammar of Exim's main log, with the selectors of `exim_config`. Pure.

Guarantee: no line raises; one that is not understood is None. What a line says depends on those
before it in two cases: a message of the null sender notifies of failures if its origin has had one,
else of a delay; and that no host's time has come is told of a recipient of whom nothing was told.

Exim does not log the code with which it refused: 550 stands for `rejected` and 451 for `temporarily
rejected`, as its ACLs answer unless they are told otherwise, and ours are not.
Source: Exim's specification, chapter "Log files".

Long: the patterns of some forty kinds of lines, and what reads them.
"""

import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

from mxlab_services.address import domain_of
from mxlab_services.products.base import (
    Arrived,
    Ended,
    Fact,
    HostTried,
    Left,
    Refusal,
    Serving,
    Told,
)

# Base-62 digits of time, process and fraction; Exim 4.97 made the two later parts longer.
_ID = r"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
_LINE = re.compile(
    rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? (?:[+-]\d{{4}} )?(?:\[\d+\] )?(?:({_ID}) )?(.*)",
    re.DOTALL | re.ASCII,
)
_HOST = re.compile(
    r"(?:^| )H=(?P<host>[^\s\[(]*) ?(?:\((?P<helo>[^)]*)\) )?\[(?P<address>[^\]]*)\](?::\d+)?\*?"
)
_ARRIVED = re.compile(r"<= (<>|.+?)( (?:H|R|U|P|S)=.*)", re.DOTALL)
_FIELD = re.compile(r" (R|P|S|id)\*?=(\S+)")
_FOR = re.compile(r" from <.*?> for (.*)", re.DOTALL)
_ADDRESS = re.compile(r'"(?:[^"\\]|\\.)*"@\S+|\S+')
_OUTCOME = re.compile(
    r"(=>|->|>>|==|\*\*) (.+?)((?: F=<| P=<| R=| routing defer| defer|: |$).*)", re.DOTALL
)
_NAMED = re.compile(r"(?P<last>.*?)(?: \((?P<between>.*)\))? <(?P<top>.*)>", re.DOTALL)
_CONFIRMED = re.compile(r' C="(.*?)"(?: QT=| DT=|$)', re.DOTALL)
_TOOK = re.compile(r" DT=(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_DEFER = re.compile(r" defer \((-?\d+)\)(?:: )?(.*)", re.DOTALL | re.ASCII)
_ASIDE = re.compile(r" (?:H=\S* ?\[[^\]]*\](?::\d+)?\*?|DT=[\dhms.]+)(?=[ :]|$)", re.ASCII)
_REMOTE = re.compile(
    r"SMTP error from remote mail server after (?P<after>.+?): (?P<reply>[245]\d\d[ -].*)",
    re.DOTALL | re.ASCII,
)
_SILENT = re.compile(
    r"(?:SMTP timeout after|Remote host closed connection in response to) (?P<after>.*)",
    re.DOTALL,
)
_HOST_AFTER = re.compile(r": \S+ \[[0-9A-Fa-f.:]+\]$")
_NOBODY_YET = ("-52", "-53", "-54")  # Exim's errors for: no retry time was reached

_STAGES = (  # by the words after which a peer refused, or was silent
    ("initial connection", "greeting"),
    ("end of data", "dot"),
    ("sending data block", "data"),
    ("DATA", "data"),
    ("RCPT TO", "rcpt"),
    ("MAIL FROM", "mail"),
    ("STARTTLS", "starttls"),
    ("EHLO", "ehlo"),
    ("HELO", "ehlo"),
)

_REFUSED = re.compile(
    r"(?P<temporarily>temporarily )?rejected (?:after )?(?P<verb>[A-Z]{4})\w*(?: FROM:| or HELO)?"
    r"(?: ?<(?P<recipient>.*?)>)?(?: .*?)??(?:: (?P<text>.*))?$",
    re.DOTALL,
)
_TOO_BIG = re.compile(r"rejected from <.*?> .*message too big", re.DOTALL)
_UNQUALIFIED = re.compile(r"unqualified (recipient|sender|verify) rejected: <(.*?)>", re.DOTALL)
_SYNTAX = re.compile(r'SMTP (syntax|protocol) error in "(.*?)" (H=.*)', re.DOTALL)
_INVALID = "syntactically invalid"
_BY_WORD = {"recipient": "RCPT", "sender": "MAIL", "verify": "VRFY"}
_SENDER = re.compile(r" F=<(.*?)> ")

_OF_NO_MAIL = re.compile(  # lines that are understood and say nothing of what became of mail
    r"Start queue run|End queue run|Spool file (?:for )?\S+ (?:is locked|not found)|Received from "
    r"|no immediate delivery: |Frozen|frozen by |Unfrozen|unfrozen by |Message is frozen"
    r"|\*\*\* Frozen|Warning: |cancelled by |error message sent |errors ignored"
    r"|retry time not reached|routing deferred|R=\S+ T=\S+ error ignored|DSN: "
    r"|(?:H=\S* ?(?:\(.*?\) )?\[.*?\]\S* )?incomplete transaction \("
    r"|unexpected disconnection while reading SMTP command|no MAIL in "
    r"|SMTP connection (?:from .*(?:lost|closed|TCP/IP)|lost|identification)"
    r"|SMTP (?:command|data) timeout|SMTP call from .* dropped|SMTP protocol synchronization error"
    r"|Connection from .* refused|no (?:host name|IP address) found for"
    r"|ETRN |(?:pid \d+: )?SIGHUP received|exim .* daemon |daemon |TLS error on connection"
    r"|(?:H=\S* ?(?:\(.*?\) )?\[.*?\]\S* )?Warning: |remote host address is the local host"
    r"|lowest numbered MX record points to local host|TLS session: "
    r"|H=\S* ?\[.*?\]\S* (?:TLS error|a TLS session|TLS session)",
    re.DOTALL,
)


class _Trying(Struct):
    """An attempt under way: the recipients that have ended, and the hosts that were told of, of
    these `fresh` since the last recipient."""

    ended: set[str] = field(default_factory=set)
    hosts: set[tuple[str, str]] = field(default_factory=set)
    fresh: set[tuple[str, str]] = field(default_factory=set)


class EximGrammar:
    """Reads Exim's main log, line by line."""

    def __init__(self) -> None:
        self._failed: set[str] = set()  # messages with a failure of which nobody was told yet
        self._told: set[tuple[str, str]] = set()  # by message: recipients of whom anything was told
        self._attempts: dict[str, _Trying] = {}

    def read(self, line: str) -> Sequence[Fact] | None:
        """The facts of a line, none, or None where it is not understood."""
        line = line.rstrip("\r\n")
        found = _LINE.fullmatch(line)
        if found is None:  # an entry may go on in lines of its own
            return () if not line.strip() or line[0] in " \t" else None
        queue_id, text = found[1] or "", found[2]
        if not queue_id:
            serving = re.match(r"exim \S+ daemon started: .*, listening for SMTP", text)
            return (Serving(),) if serving else _of_session(text)
        return self._of_message(queue_id, text)

    def _of_message(self, queue_id: str, text: str) -> Sequence[Fact] | None:
        if found := _ARRIVED.fullmatch(text):
            return self._arrived(queue_id, found[1], found[2])
        if found := _OUTCOME.fullmatch(text):
            return self._outcome(queue_id, *found.groups())
        if text.startswith(("Completed", "removed by ")):
            self._failed.discard(queue_id)
            self._told = {one for one in self._told if one[0] != queue_id}
            self._attempts.pop(queue_id, None)
            return (Left(queue_id),)
        if (tried := _tried(queue_id, text)) is None:
            return _of_session(text)
        attempt = self._attempts.setdefault(queue_id, _Trying())
        attempt.hosts.add((tried.host, tried.address))
        attempt.fresh.add((tried.host, tried.address))
        return (tried,)

    def _arrived(self, queue_id: str, sender: str, rest: str) -> Sequence[Fact]:
        recipients = _FOR.search(rest)
        fields = dict(_FIELD.findall(rest[: recipients.start()] if recipients else rest))
        host = _HOST.search(rest)
        about = fields.get("R", "") if sender == "<>" else ""
        size, identity = fields.get("S", ""), fields.get("id", "")
        arrived = Arrived(
            queue_id,
            sender="" if sender == "<>" else sender,
            recipients=tuple(_ADDRESS.findall(recipients[1])) if recipients else (),
            size=int(size) if size.isascii() and size.isdigit() else 0,
            message_id=f"<{identity}>" if identity else "",
            peer=host["address"] if host else "",
            helo=(host["helo"] or host["host"]) if host else "",
            protocol=fields.get("P", "").upper() if host else "local",
            about=about,
        )
        if not about:
            return (arrived,)
        action: Literal["failed", "delayed"] = "failed" if about in self._failed else "delayed"
        self._failed.discard(about)
        return arrived, Told(about, action=action, notification=queue_id)

    def _outcome(self, queue_id: str, sign: str, who: str, rest: str) -> Sequence[Fact] | None:
        if sign == "==":
            return self._deferred(queue_id, who, rest)
        self._told.add((queue_id, who))
        if sign == "**":
            self._failed.add(queue_id)
            why = _ASIDE.sub("", rest).partition(": ")[2]
            return self._with_host(_ended(queue_id, who, "failed", _reply(why), rest), why)
        reply = _CONFIRMED.search(rest)
        ended = _ended(queue_id, who, "delivered", _one_line(reply[1]) if reply else "", rest)
        return (ended,)

    def _deferred(self, queue_id: str, who: str, rest: str) -> Sequence[Fact] | None:
        found = _DEFER.search(rest)
        if found is None:
            return None
        key = (queue_id, who)
        if found[1] in _NOBODY_YET and key in self._told:
            return ()
        self._told.add(key)
        silent = _SILENT.search(found[2])
        sent = silent is not None and _stage(silent["after"]) == "dot"
        why = _ASIDE.sub("", f" {found[2]}").lstrip(": ")
        outcome: Literal["deferred", "unknown"] = "unknown" if sent else "deferred"
        return self._with_host(_ended(queue_id, who, outcome, _reply(why), rest), why)

    def _with_host(self, ended: Ended, why: str) -> Sequence[Fact]:
        """The end of a recipient; before it the host, where no line of its own told of that."""
        attempt = self._attempts.setdefault(ended.queue_id, _Trying())
        if ended.recipient in attempt.ended:
            attempt.ended.clear()
            attempt.hosts &= attempt.fresh
        attempt.fresh.clear()
        attempt.ended.add(ended.recipient)
        host = (ended.host, ended.address)
        if not ended.host or host in attempt.hosts:
            return (ended,)
        attempt.hosts.add(host)
        return HostTried(
            ended.queue_id,
            host=ended.host,
            address=ended.address,
            stage=_stage_of(why),
            reply=ended.reply,
        ), ended


def _ended(
    queue_id: str,
    who: str,
    outcome: Literal["delivered", "deferred", "failed", "unknown"],
    reply: str,
    rest: str,
) -> Ended:
    said = rest.partition(' C="')[0]
    host = _HOST.search(said)
    recipient, local_part = _aimed_at(who)
    return Ended(
        queue_id,
        recipient=recipient,
        outcome=outcome,
        reply=reply,
        host=host["host"] if host else "",
        address=host["address"] if host else "",
        mailbox=outcome == "delivered" and host is None,
        seconds=_seconds(rest),
        local_part=local_part,
    )


def _aimed_at(who: str) -> tuple[str, str]:
    """The address at which a delivery was aimed, and "". For a mailbox only its local part stands
    first: `bob <bob@example.test>`, and `bob (staff@example.test) <team@example.test>` where two
    aliases led there: then the address that was written to, and that local part."""
    found = _NAMED.fullmatch(who)
    if found is None or domain_of(found["last"]):
        return (who if found is None else found["last"]), ""
    return found["top"], found["last"]


def _reply(text: str) -> str:
    """What a peer replied, or the system's own word, on one line."""
    found = _REMOTE.search(text)
    return _one_line(found["reply"] if found else text)


def _one_line(text: str) -> str:
    """Exim writes the ends of a reply's lines as `\\n`, and the host after the system's word."""
    text = _HOST_AFTER.sub("", text)
    return re.sub(r"\s+", " ", text.replace("\\n", " ").replace('\\"', '"')).strip()


def _stage_of(why: str) -> str:
    ended = _REMOTE.search(why) or _SILENT.search(why)
    return _stage(ended["after"]) if ended else "connect"


def _stage(after: str) -> str:
    return next((stage for words, stage in _STAGES if words in after), "connect")


def _tried(queue_id: str, text: str) -> HostTried | None:
    """`H=mx1.example.test [192.0.2.1]:25 Connection refused`."""
    found = _HOST.match(text)
    if found is None or found["helo"] or _REFUSED.search(text) or _OF_NO_MAIL.match(text):
        return None
    host, address = found["host"], found["address"]
    why = text[found.end() :].removeprefix(":").strip()
    why = why.removeprefix(f"{host} [{address}]").removeprefix(":").strip()
    return HostTried(queue_id, host=host, address=address, stage=_stage_of(why), reply=_reply(why))


def _seconds(text: str) -> float:
    found = _TOOK.search(text)
    if found is None:
        return 0.0
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)


def _of_session(text: str) -> Sequence[Fact] | None:
    """What a session had to refuse, and lines that say nothing of mail."""
    host = _HOST.search(text) or re.search(r"\[(?P<address>[^\]]*)\]", text)
    peer = host["address"] if host else ""
    sender = found[1] if (found := _SENDER.search(text)) else ""
    if found := _SYNTAX.match(text):
        why = re.sub(r"^.*?\]:\d+ ", "", found[3])
        verb = found[2][:4].upper() or "?"
        code = 503 if found[1] == "protocol" else 500 if why == "unrecognized command" else 501
        return (Refusal(verb=verb, reply=f"{code} {_one_line(why)}", peer=peer),)
    if found := _UNQUALIFIED.match(text):
        verb, what = _BY_WORD[found[1]], f"{found[1]} address must contain a domain"
        return (Refusal(verb=verb, reply=f"501 {what}", peer=peer, recipient=found[2]),)
    if "message too big" in text and (found := _REFUSED.search(text)):
        reply = "552 Message size exceeds maximum permitted"
        return (Refusal(verb=found["verb"], reply=reply, peer=peer, sender=sender),)
    if _TOO_BIG.match(text):
        reply = "552 Message size exceeds maximum permitted"
        return (Refusal(verb="DATA", reply=reply, peer=peer),)
    if _OF_NO_MAIL.match(text):
        return ()
    if found := _REFUSED.search(text):
        why = _one_line(found["text"] or "")
        code = 451 if found["temporarily"] else 501 if why.startswith(_INVALID) else 550
        return (
            Refusal(
                verb=found["verb"],
                reply=f"{code} {why}".strip(),
                peer=peer,
                sender=sender,
                recipient=found["recipient"] or "" if found["verb"] == "RCPT" else "",
            ),
        )
    return None
