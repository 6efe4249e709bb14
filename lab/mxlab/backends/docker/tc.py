"""Limits of the rate at which a node sends, as token buckets of the kernel (tc, htb): a class for
each fault and peer, at whose rate the packets to that peer leave; all other packets pass by.

Pure. Each fault of a lab has a slot, a small number of its own, by which its classes are numbered.
A node that is off the network has no interface, and nothing to be limited until it is back.
"""

from collections.abc import Sequence

BURST = 1600  # bytes: a packet, which is the least that can pass
MOST_PEERS = 256
MOST_SLOTS = 0xFFFF // MOST_PEERS  # a class has a number of 16 bits


def limit_script(slot: int, own: str, others: Sequence[str], rate: int) -> str:
    """A shell's script that lets `rate` bytes a second pass to each of the others, whatever was
    there. `own`: the node's address, which tells its interface; `slot`: see above."""
    lines = [_interface(own), 'tc qdisc add dev "$dev" root handle 1: htb 2>/dev/null || true']
    for number, other in enumerate(others, 1 + slot * MOST_PEERS):
        family, match, width = ("ipv6", "ip6", 128) if ":" in other else ("ip", "ip", 32)
        lines += [
            f'tc class replace dev "$dev" parent 1: classid 1:{number:x} '
            f"htb rate {rate}bps burst {BURST} cburst {BURST}",
            f'tc filter del dev "$dev" parent 1: prio {number} 2>/dev/null || true',
            f'tc filter add dev "$dev" parent 1: protocol {family} prio {number} '
            f"u32 match {match} dst {other}/{width} flowid 1:{number:x}",
        ]
    return "\n".join(lines) + "\n"


def unlimit_script(slot: int, own: str, others: Sequence[str]) -> str:
    """The same for taking the limits away; with the last of them goes the queue."""
    lines = [_interface(own)]
    for number, _ in enumerate(others, 1 + slot * MOST_PEERS):
        lines += [
            f'tc filter del dev "$dev" parent 1: prio {number} 2>/dev/null || true',
            f'tc class del dev "$dev" classid 1:{number:x} 2>/dev/null || true',
        ]
    lines.append(
        '[ "$(tc class show dev "$dev")" ] || tc qdisc del dev "$dev" root 2>/dev/null || true'
    )
    return "\n".join(lines) + "\n"


def _interface(own: str) -> str:
    pattern = f"^{own}/".replace(".", "[.]").replace("/", "[/]")
    find = f"ip -o address show | awk '$4 ~ /{pattern}/ {{ print $2 }}'"
    return f'dev=$({find})\n[ "$dev" ] || exit 0'
