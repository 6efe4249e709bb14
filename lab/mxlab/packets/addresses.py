"""Who has which address in a lab, by what its nodes told."""

import ipaddress

from mxlab.history.trace import LAB, Trace
from mxlab.packets.frames import Port
from mxlab.packets.stream import End
from mxlab_services import events

ELSEWHERE = "elsewhere"  # whoever is at an address that is no node's
_UNKNOWN = {4: "192.0.2.1", 6: "2001:db8::1"}  # of a node that never told (RFC 5737, RFC 3849)


class LabAddresses:
    """The nodes of a trace, in its order, and their addresses and names."""

    def __init__(self, trace: Trace) -> None:
        self.nodes = [name for name in trace.by_node if name != LAB]
        self._node_at: dict[str, str] = {}
        self._own: dict[str, list[str]] = {}
        self._names: dict[str, dict[str, None]] = {}
        self._ports: dict[str, int] = {}
        for event in trace.events():
            match event.body:
                case events.NodeReady(addresses=addresses, listening=listening):
                    self._own[event.node] = list(filter(_is_address, addresses))
                    self._node_at |= dict.fromkeys(self._own[event.node], event.node)
                    self._listens(listening)
                case (
                    events.Tried(host=host, address=address)
                    | events.HandedIn(host=host, address=address)
                ):
                    self._called(address, host)
        for node, addresses in self._own.items():
            for address in addresses:
                self._called(address, node)

    def _listens(self, places: list[str]) -> None:
        for place in places:
            transport, _, rest = place.partition(":")
            address, _, port = rest.rpartition(":")
            if transport == "tcp" and port.isdigit():
                self._ports.setdefault(address.strip("[]"), int(port))

    def _called(self, address: str, name: str) -> None:
        if _is_address(address) and name and not name.startswith("["):
            self._names.setdefault(address, {})[name] = None

    def names(self) -> dict[str, list[str]]:
        """Address -> its names, the one by which mail is sent there first."""
        return {address: list(names) for address, names in self._names.items()}

    def end(self, address: str, port: int) -> End:
        """Whoever is there."""
        return End(self._node_at.get(address, ELSEWHERE), Port(address, port))

    def own(self, node: str, peer: str, port: int) -> End:
        """The node's end towards a peer: its address of that family. One that never told its
        address has one that is nobody's."""
        version = ipaddress.ip_address(peer).version
        for address in self._own.get(node, ()):
            if ipaddress.ip_address(address).version == version:
                return End(node, Port(address, port))
        return End(node, Port(_UNKNOWN[version], port))

    def mail_port(self, address: str) -> int:
        """Where mail is taken there."""
        return self._ports.get(address, 25)

    def is_known(self, node: str) -> bool:
        """Whether it ever told its address."""
        return bool(self._own.get(node))


def _is_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False
