"""A conversation of a record as TCP connections.

A line of a conversation is a line on the wire, but for those in angle brackets: they say what
befell the connection (see `mxlab_services.smtp.client`), and are turned into that.

Long: one vocabulary of lines, and the one connection that they are about.
"""

import re
from base64 import b64encode

from mxlab.packets import remarks
from mxlab.packets.addresses import LabAddresses
from mxlab.packets.inside import TlsKeys
from mxlab.packets.smtp import TLS, ToldConversation
from mxlab.packets.stream import Frame, TcpStream
from mxlab_services.events import OpenedConnection
from mxlab_services.smtp.client.login import HIDDEN

_MESSAGE = re.compile(r"C: <message, (\d+) bytes>")
_NO_TLS = re.compile(r"C: <no TLS: (.*); a new connection without it>")
_CONNECT = re.compile(r"C: <connect to .*\[([^\[\]]+)\]:(\d+): (.*)>")
_KEPT = re.compile(r"C: <kept connection, message (\d+) on it>")
_ANEW = "C: <the kept connection was closed meanwhile: a new one>"
_STAYS = "C: <the connection stays open for more>"
_LOST = "S: <lost connection>"
_REFUSED = ("Connection refused", "refused")
_ABSENT = ("No route", "unreachable", "Permission", "prohibited", "not permitted")
_FILLER = b"The record has the size of the message, and not its text.\r\n"
_FIRST_MADE_UP = 49152  # port of a sender that told none


class MailWire:
    """Turns conversations into frames, one after another, by their beginning.

    `abort`: whether a sender that gives up resets its connection, as those of the simulation do, or
    closes it, as kernels do for programs.
    """

    def __init__(
        self,
        addresses: LabAddresses,
        faults: remarks.FaultsTold,
        keys: TlsKeys,
        scale: float,
        *,
        abort: bool,
    ) -> None:
        self.addresses, self.faults, self.keys = addresses, faults, keys
        self.scale, self.abort = scale, abort
        self.kept: dict[tuple[str, int, str, int], TcpStream] = {}
        self._ports: dict[str, int] = {}

    def frames(self, told: ToldConversation) -> list[Frame]:
        """Those of one conversation."""
        return _Telling(self, told).frames()

    def made_up_port(self, node: str) -> int:
        """A port for a sender of which none is told."""
        port = self._ports.get(node, _FIRST_MADE_UP)
        self._ports[node] = port + 1 if port < 65535 else _FIRST_MADE_UP
        return port


class _Telling:
    """One conversation, line by line."""

    def __init__(self, wire: MailWire, told: ToldConversation) -> None:
        self._wire, self._told = wire, told
        self._opened = iter(told.connections)
        self._now: OpenedConnection | None = None
        self._stream: TcpStream | None = None
        self._key: tuple[str, int, str, int] = ("", 0, "", 0)
        self._since = 0.0  # when what comes next could begin, in seconds since the beginning
        self._to_dot = False
        self._strikes = list(
            wire.faults.strikes(
                wire.addresses.end(told.address, 0).node,
                wire.addresses.own(told.node, told.address, 0).port.address,
                told.begin,
                told.end,
            )
        )
        self._done: list[Frame] = []

    def frames(self) -> list[Frame]:
        lines = self._told.dialog
        at = 0
        while at < len(lines):
            size = self._run(at)
            self._since_line(lines[at : at + size], self._told.times[at], at + size)
            at += size
        self._finish()
        return self._done

    def _run(self, at: int) -> int:
        """How many lines from here on went together: of one side, at one moment."""
        lines, times = self._told.dialog, self._told.times
        end = at + 1
        if lines[at][3:4] == "<":
            return 1
        while (
            end < len(lines)
            and lines[end][:4] == lines[at][:2] + " " + lines[end][3:4]
            and lines[end][3:4] != "<"
            and times[end] == times[at]
            and lines[end] != "C: ."
        ):
            end += 1
        return end - at

    def _since_line(self, lines: list[str], when: float, following: int) -> None:
        first = lines[0]
        if first[3:4] == "<":
            self._befell(first, when, following)
        elif first == "C: ." and self._to_dot:
            self._live(when).send(
                "client",
                self._at(when),
                b"\r\n.\r\n",
                *self._said(when, remarks.of_commands(["."])),
            )
        else:
            self._line(lines, when)
        self._since = when

    def _line(self, lines: list[str], when: float) -> None:
        texts, hidden = _shown([line[3:] for line in lines])
        data = "".join(f"{text}\r\n" for text in texts).encode("utf-8", "replace")
        stream = self._live(when)
        if lines[0].startswith("C: "):
            said = *self._said(when, remarks.of_commands(texts)), *hidden
            stream.send("client", self._at(when), data, *said)
            return
        section = remarks.of_replies(texts, to_dot=self._to_dot and texts[0].startswith("2"))
        self._to_dot = False
        stream.send("server", self._at(when), data, *self._said(when, section, struck=True))

    def _befell(self, line: str, when: float, following: int) -> None:
        """What the line says of the connection."""
        if found := _MESSAGE.fullmatch(line):
            self._message(int(found[1]), when, following)
        elif found := TLS.fullmatch(line):
            self._secured(found[2], found[1], when)
        elif found := _KEPT.fullmatch(line):
            self._resume(when)
        elif found := _CONNECT.fullmatch(line):
            self._in_vain(found[1], int(found[2]), found[3], when)
        elif found := _NO_TLS.fullmatch(line):
            self._not_secured(found[1], when)
        elif line == _ANEW:
            self._leave("server", when, "the server had closed it")
        elif line == _STAYS:
            self._keep()
        elif line.startswith("S: "):
            self._trouble(line, when)
        # What is left (the fate of a message, TLS refused) befell no connection.

    # --- a connection's life ---------------------------------------------------------------------

    def _at(self, seconds: float) -> int:
        return round((self._told.begin + seconds) * 1e9)

    def _live(self, when: float) -> TcpStream:
        """The connection that is open, or a new one."""
        if self._stream is None:
            self._open(self._told.address)
        assert self._stream is not None
        return self._stream

    def _next_key(self, address: str, port: int = 0) -> None:
        """The ends of the next connection: as told, or made up."""
        self._now = next(self._opened, None)
        told, wire = self._told, self._wire
        theirs = port or (self._now.port if self._now else 0) or told.port
        own = (self._now.own if self._now else 0) or wire.made_up_port(told.node)
        mine = wire.addresses.own(told.node, address, own).port.address
        self._key = mine, own, address, theirs

    def _new(self) -> TcpStream:
        _, own, address, port = self._key
        client = self._wire.addresses.own(self._told.node, address, own)
        return TcpStream(client, self._wire.addresses.end(address, port))

    def _open(self, address: str) -> None:
        self._next_key(address)
        self._stream = self._new()
        self._stream.open(self._at(self._since), *self._beginning())

    def _beginning(self) -> list[str]:
        made_up = [] if self._now and self._now.own else ["made up: the sender's port"]
        if not self._told.connections:
            made_up = ["made up: the sender's port, and when each line was said"]
        if not self._wire.addresses.is_known(self._told.node):
            made_up.append(f"made up: the address of {self._told.node}")
        return [*self._said(self._since, "RFC 5321 §3.1"), *made_up]

    def _resume(self, when: float) -> None:
        """Go on with a connection that was kept."""
        self._next_key(self._told.address)
        if self._now is None:  # not told which: the first that goes there
            ends = self._key[0], self._key[2]
            fitting = (key for key in self._wire.kept if (key[0], key[2]) == ends)
            self._key = next(fitting, self._key)
        self._stream = self._wire.kept.pop(self._key, None)
        if self._stream is None:
            self._stream = self._new()
            self._stream.open(self._at(when), "made up: where this connection began is not told")

    def _keep(self) -> None:
        stream = self._stream
        if stream is None:
            return
        if stream.frames:
            last = stream.frames[-1]
            text = "it stays open for more; how it ended is in the record only if it is used again"
            stream.frames[-1] = last._replace(comments=(*last.comments, text))
        self._wire.kept[self._key] = stream
        self._gather()

    def _gather(self) -> None:
        if self._stream is not None:
            self._done += self._stream.take()
        self._stream = None

    def _in_vain(self, address: str, port: int, why: str, when: float) -> None:
        """A connection that did not come to be."""
        self._next_key(address, port)
        self._stream = stream = self._new()
        begin, said = self._at(self._since), self._said(self._since, "RFC 5321 §5.1")
        if any(word in why for word in _REFUSED):
            stream.refused(begin, *said)
        elif "timed out" in why:
            stream.unanswered(begin, self._at(when), self._wire.scale, *said, why)
        elif any(word in why for word in _ABSENT):
            text = f"{why}: this segment stands for the attempt; it may never have left the node"
            stream.unanswered(begin, begin, self._wire.scale, *said, text)
        else:  # it did, and TLS in it did not
            stream.open(begin, *said)
            self._hello_in_vain(why, when)
        self._gather()

    def _secured(self, name: str, version: str, when: float) -> None:
        """TLS begins. From here on the connection says all in it."""
        stream = self._live(when)
        tls = self._wire.keys.connection(name, version)
        text = f"made up: the handshake and its keys, for what was said inside {version}"
        for number, (side, data) in enumerate(tls.handshake()):
            comments = () if number else (*self._said(when, "RFC 3207 §4"), text)
            stream.raw(side, self._at(self._since), data, *comments)
        stream.tls = tls

    def _not_secured(self, why: str, when: float) -> None:
        self._hello_in_vain(why, when)
        self._gather()

    def _hello_in_vain(self, why: str, when: float) -> None:
        stream = self._live(when)
        name = self._told.who.rpartition(" ")[2].strip("[]") or "server"
        hello = self._wire.keys.connection(name, "TLSv1.3").hello()
        text = f"made up: this hello; all that is told of the handshake is: {why}"
        stream.raw("client", self._at(self._since), hello, *self._said(when, "RFC 3207 §4"), text)
        by_server = any(word in why.lower() for word in ("reset", "lost", "eof", "closed"))
        stream.reset("server" if by_server else "client", self._at(when), why)

    def _message(self, size: int, when: float, following: int) -> None:
        """A message, of which the record has the size: without it, or, where it has to be there
        for what follows to be read, with other text of that size."""
        stream, lines = self._live(when), self._told.dialog
        whole = following < len(lines) and lines[following] == "C: ."
        self._to_dot = whole
        size = max(0, size - 2) if whole else min(size, 1000)
        text = "its text is not in the record"
        if not whole:
            text += "; nor how much of it was sent before the connection was lost"
        said = *self._said(when, "RFC 5321 §4.1.1.4"), text
        if stream.tls is None:
            stream.elided("client", self._at(when), size, *said)
        else:
            filler = b"\r\n" + _FILLER * (size // len(_FILLER) + 1)
            stream.send("client", self._at(when), filler[:size], *said, "other text stands for it")

    def _trouble(self, line: str, when: float) -> None:
        """No reply could be read: the server is gone, or the sender has waited long enough."""
        if line == _LOST:
            if self._now and self._now.reset:
                stream = self._live(when)
                stream.reset("server", self._at(when), *self._said(when, "", struck=True))
                self._gather()
            else:
                self._leave("server", when, "" if self._now else "or a reset: it is not told")
            return
        why = f"the sender gives up: {line[4:-1]} (RFC 5321 §4.5.3.2)"
        stream = self._live(when)
        if self._wire.abort:
            stream.reset("client", self._at(when), *self._said(when, ""), why)
        else:
            stream.close("client", self._at(when), *self._said(when, ""), why, answered=False)
        self._gather()

    def _leave(self, side: str, when: float, why: str) -> None:
        stream = self._live(when)
        comments = [*self._said(when, "", struck=True), *([why] if why else [])]
        stream.close("server" if side == "server" else "client", self._at(when), *comments)
        self._gather()

    def _finish(self) -> None:
        """The end of the conversation, as far as it is told."""
        if self._stream is None:
            return
        when = self._since
        last = self._told.dialog[-1]
        if last == "C: QUIT":
            why = "made up: this end; the reply to QUIT comes after what is told"
        elif last.startswith("S: 221"):
            why = ""
        else:
            why = "made up: this end; how it ended is not told"
        self._leave("client", when, why)

    def _said(self, when: float, section: str, *, struck: bool = False) -> list[str]:
        """Comments: whose it is, the section, the faults."""
        moment = self._told.begin + when
        comments = [f"{self._told.who}; {section}" if section else self._told.who]
        comments += self._wire.faults.at(moment)
        if struck:
            comments += [text for at, text in self._strikes if at <= moment]
            self._strikes = [one for one in self._strikes if one[0] > moment]
        return comments


def _shown(texts: list[str]) -> tuple[list[str], list[str]]:
    """The lines, with letters of the right kind for each secret that the record hides, and a
    comment that says so."""
    if not any(text.endswith(HIDDEN) for text in texts):
        return texts, []
    both = f"\0{HIDDEN}\0{HIDDEN}" if texts[0].startswith("AUTH PLAIN") else HIDDEN
    letters = b64encode(both.encode()).decode()
    return (
        [text.replace(HIDDEN, letters) for text in texts],
        ["made up: these letters stand for a secret, which is not in the record"],
    )
