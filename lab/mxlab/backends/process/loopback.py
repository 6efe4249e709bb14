"""IPv6 addresses for local processes: on the loopback interface, where root alone may put them.

IPv4 has 127.0.0.0/8 for that; IPv6 has ::1 alone. Guarantee: what is put there lies in the network
of one lab, which is on record before, and goes with it.
"""

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from mxlab.errors import EnvironmentProblem, Unsupported

_ADD, _REMOVE = 0x8916, 0x8936  # SIOCSIFADDR, SIOCDIFADDR (linux/sockios.h)
_INTERFACE = "lo"
_ALONE = 128  # bits of a prefix that holds one address
_TABLE = Path("/proc/net/if_inet6")
_HINT = "use `--backend docker` or `sim`, or be root"


def check_addresses(addresses: Iterable[str]) -> None:
    """Raises Unsupported where there are any and this machine or user cannot have them."""
    if not any(":" in address for address in addresses):
        return
    if not _TABLE.exists():
        raise Unsupported("this machine has no IPv6", "use `--backend sim`")
    if os.geteuid() != 0:
        raise Unsupported("local processes have IPv6 addresses only where root gives them", _HINT)


def put(addresses: Iterable[str]) -> None:
    """Put the IPv6 addresses there; those that are there stay. Raises Unsupported where this user
    may not, or the machine has none."""
    for address in addresses:
        if ":" in address:
            try:
                _change(_ADD, address)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    why = error.strerror
                    text = f"{address} cannot be put on {_INTERFACE}: {why}"
                    raise Unsupported(text, _HINT) from error


def take_away(networks: Iterable[str]) -> list[str]:
    """Take away all addresses in those networks; returns which there were."""
    inside = [ipaddress.ip_network(network) for network in networks if ":" in network]
    found = [a for a in _present() if any(a in network for network in inside)]
    for address in found:
        try:
            _change(_REMOVE, str(address))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                text = f"{address} stays on {_INTERFACE}: {error.strerror}"
                raise EnvironmentProblem(
                    text, "whoever brought the lab up can remove it"
                ) from error
    return [str(address) for address in found]


def _present() -> Sequence[ipaddress.IPv6Address]:
    try:
        lines = _TABLE.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [ipaddress.IPv6Address(bytes.fromhex(w[0])) for w in words if w[-1] == _INTERFACE]


def _change(request: int, address: str) -> None:
    packed = socket.inet_pton(socket.AF_INET6, address)
    order = struct.pack("=16sIi", packed, _ALONE, socket.if_nametoindex(_INTERFACE))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, request, order)
