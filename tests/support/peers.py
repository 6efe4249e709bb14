"""Peers on simulated hosts: an SMTP server that follows a script, a DNS server of other opinion."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mxlab.backends.sim.backend import SimLab
from mxlab.backends.sim.loop import HostLife
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones

PLAIN = ("PIPELINING", "8BITMIME", "DSN", "SIZE 1000000")
_BEHAVED = {
    "CONNECT": "220 peer.test ESMTP",
    "HELO": "250 peer.test",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "DOT": "250 2.0.0 Ok: queued as PEER",
    "QUIT": "221 2.0.0 bye",
    "RSET": "250 2.0.0 ok",
}


@dataclass
class Copy:
    """One message that came to its final dot, and what was said to that."""

    mail: str
    recipients: list[str]
    content: bytes
    reply: str


@dataclass
class Peer:
    """An SMTP server that replies by a script.

    `script` maps a verb (CONNECT, EHLO, MAIL, RCPT, DATA, DOT, QUIT), or `RCPT address`, to its
    replies in order; the last one holds from then on. A reply is text; `cut` closes the connection,
    `silence` says nothing. `delay`: virtual seconds before the reply to the dot. `deaf`: content
    is not read. `by_client` may
    give a script of its own to a client's address.
    """

    script: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extensions: Sequence[str] = PLAIN
    delay: float = 0.0
    deaf: bool = False
    by_client: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most: int = 0
    _said: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def taken(self) -> list[Copy]:
        """The messages that this server has accepted."""
        return [copy for copy in self.copies if copy.reply.startswith("250")]

    def verbs(self, verb: str) -> list[str]:
        return [line for line in self.lines if line.upper().startswith(verb)]

    def reply(self, verb: str, client: str, detail: str = "") -> str:
        """What the script says now."""
        script = self.by_client.get(client, self.script)
        key = detail if detail in script else verb
        replies = script.get(key)
        if not replies:
            return self._behaved(verb)
        number = self._said.get((client, key), 0)
        self._said[client, key] = number + 1
        return replies[min(number, len(replies) - 1)] or self._behaved(verb)

    def _behaved(self, verb: str) -> str:
        if verb == "EHLO":
            lines = ["peer.test", *self.extensions]
            return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
        return _BEHAVED.get(verb, "500 5.5.2 what?")


class _Conversation(asyncio.Protocol):
    """One connection to a Peer."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._buffer = b""
        self._client = ""
        self._mail = ""
        self._recipients: list[str] = []
        self._in_data = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._client = transport.get_extra_info("peername")[0]
        self._peer.connections += 1
        self._peer.open += 1
        self._peer.most = max(self._peer.most, self._peer.open)
        self._say(self._peer.reply("CONNECT", self._client))

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer.open -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._transport.is_closing():
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            found, mark, rest = self._buffer.partition(end)
            if not mark:
                return
            self._buffer = rest
            if self._in_data:
                self._in_data = False
                self._content(found + b"\r\n")
            else:
                self._command(found.decode())

    def _command(self, line: str) -> None:
        peer = self._peer
        peer.lines.append(line)
        verb = line.split(" ", maxsplit=1)[0].upper()
        address = line.partition("<")[2].partition(">")[0]
        if verb == "DATA" and not self._recipients and "DATA" not in peer.script:
            return self._say("503 5.5.1 no valid recipients")
        reply = peer.reply(verb, self._client, f"{verb} {address}")
        self._say(reply)
        good = reply[:1] in "23"
        if verb == "MAIL" and good:
            self._mail, self._recipients = line, []
        elif verb == "RCPT" and good:
            self._recipients.append(address)
        elif verb == "DATA" and good:
            self._in_data = True
            if peer.deaf:
                self._transport.pause_reading()
        elif verb == "QUIT":
            self._transport.close()
        return None

    def _content(self, content: bytes) -> None:
        reply = self._peer.reply("DOT", self._client)
        plain = (b"\r\n" + content).replace(b"\r\n..", b"\r\n.")[2:]
        self._peer.copies.append(Copy(self._mail, self._recipients, plain, reply))
        self._recipients = []
        if self._peer.delay:
            asyncio.get_running_loop().call_later(self._peer.delay, self._say, reply)
        else:
            self._say(reply)

    def _say(self, reply: str) -> None:
        if reply == "cut":
            self._transport.close()
        elif reply != "silence" and not self._transport.is_closing():
            self._transport.write(reply.encode() + b"\r\n")


def new_life(lab: SimLab, address: str) -> HostLife:
    """Switch the host at `address` on, with nothing that listens; make it where there is none."""
    host = lab.network.host(address) or lab.network.add_host(address, address)
    assert host.life is None, f"{host.name} is up"
    host.life = HostLife(host.name, lab.network.loop)
    return host.life


def put_peer(lab: SimLab, address: str, peer: Peer) -> None:
    """Let `peer` serve SMTP at an address where nothing runs."""
    context = new_life(lab, address).context
    context.run(lab.network.listen, lambda: _Conversation(peer), address, 25)


async def take_over(lab: SimLab, node: str, peer: Peer) -> Peer:
    """Let `peer` stand in the place of a node."""
    await lab.nodes[node].kill()
    put_peer(lab, lab.nodes[node].config.address, peer)
    return peer


async def close_port(lab: SimLab, node: str) -> None:
    """End the node's services on a host that stays up: connections are refused at once."""
    await lab.nodes[node].kill()
    new_life(lab, lab.nodes[node].config.address)


async def put_dns(lab: SimLab, address: str, zones: Mapping[str, str]) -> None:
    """Serve `zones` (origin to text) at a new address: another view of the world."""
    served = Zones()
    for origin, text in zones.items():
        served.replace(origin, text)
    server = DnsServer(served, lambda body, message=None: None)
    life = new_life(lab, address)
    await lab.network.loop.create_task(server.start(address), context=life.context)
