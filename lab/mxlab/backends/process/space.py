"""Finds a subnet of 127.0.0.0/8 and ports that nobody uses.

Guarantee: what is chosen was bound here a moment ago, on each address, is in no other lab, and is
chosen by nobody else until the claim on it ends.
"""

import contextlib
import errno
import hashlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mxlab.errors import SubnetClash
from mxlab.plan.plan import AddressPlan
from mxlab.plan.space import FIRST

SMTP_PORTS = (25, 2525, 10025)
SUBMISSION_PORTS, SUBMISSIONS_PORTS = (587, 2587, 10587), (465, 2465, 10465)
DNS_PORTS = (53, 5353, 10053)


def find_space(
    taken: Iterable[str],
    hosts: int,
    first: str = "",
    claims: contextlib.ExitStack | None = None,
    *,
    submission: bool = False,
) -> AddressPlan:
    """Subnet and ports for `hosts` nodes, apart from the subnets `taken`; low ports if allowed.
    `submission`: whether ports for that are wanted too.

    Other processes of this machine, whatever labs they know of, pass the subnet over until `claims`
    closes: by then its ports are in use, or it is free again.

    `first` decides where the search begins, so that labs that do not know of each other seldom
    want the same, and the same lab gets the same again.

    Raises SubnetClash, which says what is in the way.
    """
    used = set(taken)
    problem = "every subnet is in use by a lab"
    for subnet in subnets_for(first):
        if subnet in used:
            continue
        claim = _claim(subnet)
        if claim is None:
            problem = f"{subnet} is being taken by another lab"
            continue
        with contextlib.ExitStack() as claiming:
            claiming.enter_context(claim)
            world = _world(subnet, hosts, submission=submission)
            if isinstance(world, AddressPlan):
                if claims is not None:
                    claims.enter_context(claiming.pop_all())
                return world
            problem = world
    raise SubnetClash(
        f"no subnet of 127.0.0.0/8 is free: {problem}", "`ss -lntup` shows who has the ports"
    )


def _claim(subnet: str) -> socket.socket | None:
    """Hold a name that one process of a machine can have at a time; None: another has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0mxlab {subnet}")
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return claim


def _world(subnet: str, hosts: int, *, submission: bool) -> AddressPlan | str:
    """The subnet with ports that are free on the addresses of all hosts, or what is in the way."""
    network = ipaddress.ip_network(subnet)
    addresses = [str(network[FIRST + number]) for number in range(hosts)]
    wanted = [SMTP_PORTS, DNS_PORTS]
    if submission:
        wanted += [SUBMISSION_PORTS, SUBMISSIONS_PORTS]
    ports = []
    for choice in wanted:
        found = _first_free(addresses, choice)
        if isinstance(found, str):
            return found
        ports.append(found)
    plan = AddressPlan(subnet, smtp_port=ports[0], dns_port=ports[1])
    return replace(plan, submission_ports=(ports[2], ports[3])) if submission else plan


def low_ports_allowed() -> bool:
    """Whether this user may bind port 25 on a local address."""
    try:
        _bind("127.83.0.1", 25)
    except PermissionError:
        return False
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return True


def subnets_for(first: str) -> Iterator[str]:
    """In the order in which they are tried."""
    start = hashlib.sha256(first.encode()).digest()[0]
    return (f"127.83.{(start + n) % 256}.0/24" for n in range(256))


def _first_free(addresses: list[str], ports: tuple[int, ...]) -> int | str:
    """The first port that can be bound on all addresses, or why none can."""
    problem = ""
    for port in ports:
        for address in addresses:
            try:
                _bind(address, port)
            except OSError as error:
                problem = f"{address} port {port}: {error.strerror}"
                break
        else:
            return port
    return problem


def _bind(address: str, port: int) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:  # as asyncio does: yesterday's connections may linger
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            if kind is socket.SOCK_STREAM:
                probe.listen(1)
