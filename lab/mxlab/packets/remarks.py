"""What is said of packets: whose message it is, which fault is in force, which section of the rules
explains it. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mxlab.history.trace import Trace
from mxlab_services import events

_COMMANDS = {
    "EHLO": "RFC 5321 §4.1.1.1",
    "HELO": "RFC 5321 §4.1.1.1",
    "MAIL": "RFC 5321 §4.1.1.2",
    "RCPT": "RFC 5321 §4.1.1.3",
    "DATA": "RFC 5321 §4.1.1.4",
    ".": "RFC 5321 §4.1.1.4",
    "RSET": "RFC 5321 §4.1.1.5",
    "NOOP": "RFC 5321 §4.1.1.9",
    "QUIT": "RFC 5321 §4.1.1.10",
    "STARTTLS": "RFC 3207 §4",
    "AUTH": "RFC 4954 §4",
    "ETRN": "RFC 1985 §5",
}
_REPLIES = {
    "220": "RFC 5321 §3.1",
    "221": "RFC 5321 §4.1.1.10",
    "235": "RFC 4954 §4",
    "334": "RFC 4954 §4",
    "354": "RFC 5321 §4.1.1.4",
    "421": "RFC 5321 §3.8",
}
_QUESTIONS = {
    "MX": "RFC 5321 §5.1",
    "A": "RFC 1035 §3.4.1",
    "AAAA": "RFC 3596 §2.2",
    "NOTIFY": "RFC 1996",
    "AXFR": "RFC 5936",
    "IXFR": "RFC 1995",
    "SOA": "RFC 1035 §3.3.13",
    "NS": "RFC 1034 §4.2.1",
}


def of_commands(lines: Iterable[str]) -> str:
    """The sections for a client's lines."""
    verbs = (line.split(" ", 1)[0].upper() for line in lines)
    return _several(_COMMANDS.get(verb, "") for verb in verbs)


def of_replies(lines: Iterable[str], *, to_dot: bool = False) -> str:
    """The sections for a server's lines. `to_dot`: they answer the end of a message."""
    return _several(map(of_reply, lines)) if not to_dot else "RFC 5321 §6.1"


def of_reply(line: str) -> str:
    """The section for one line of a reply."""
    if found := _REPLIES.get(line[:3]):
        return found
    return "RFC 5321 §4.2.1" if line[:1] in ("2", "4", "5") else ""


def of_question(kind: str) -> str:
    """The section for a question of that type."""
    return _QUESTIONS.get(kind, "RFC 1035 §4.1.2")


def of_answer(query: events.DnsQuery) -> str:
    """The section for what the answer comes to."""
    if query.truncated:
        return "RFC 2181 §9: truncated, to be asked for again by TCP (RFC 7766 §5)"
    if query.rcode == "NXDOMAIN" or (query.rcode == "NOERROR" and not query.answers):
        return "RFC 2308 §2"
    return of_question(query.type)


def _several(sections: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, sections)))


class _InForce(NamedTuple):
    begin: float
    end: float
    text: str


class FaultsTold:
    """The faults that a trace tells of: those that the runner set, and each time that one struck
    inside a node."""

    def __init__(self, trace: Trace) -> None:
        begun: dict[str, tuple[float, str]] = {}
        self._all: list[_InForce] = []
        self._strikes: dict[str, list[tuple[float, events.FaultStruck]]] = {}
        for event in trace.events():
            match event.body:
                case events.LabFault(id=name, fault=fault, node=node):
                    begun[name] = event.at, f"fault {name}: {fault} {node}"
                case events.LabHealed(id=name) if name in begun:
                    began, text = begun.pop(name)
                    self._all.append(_InForce(began, event.at, text))
                case events.FaultStruck() as struck:
                    self._strikes.setdefault(event.node, []).append((event.at, struck))
        self._all += (_InForce(began, float("inf"), text) for began, text in begun.values())

    def at(self, moment: float) -> list[str]:
        """Those in force at a moment of lab time."""
        return [f"in force: {one.text}" for one in self._all if one.begin <= moment <= one.end]

    def strikes(
        self, node: str, peer: str, begin: float, end: float
    ) -> Sequence[tuple[float, str]]:
        """When, and which, struck this peer at the node within that time."""
        return [
            (at, f"struck here: fault {struck.fault} ({struck.name}) at {struck.place}")
            for at, struck in self._strikes.get(node, ())
            if begin <= at <= end and struck.peer in ("", peer)
        ]

    def silenced(self) -> list[tuple[float, str, events.FaultStruck]]:
        """The questions that a name server never answered: when, where, and which."""
        return [
            (at, node, struck)
            for node, told in self._strikes.items()
            for at, struck in told
            if struck.name == "dns-timeout"
        ]
