"""What a shape of the links is in nftables: a table for each fault, which a node's namespace holds.

Pure. All rules stand where packets arrive (the `input` hook): what a sender's own kernel drops, it
reports to the sender, and then the fault is no silence any more.
"""

import hashlib
from collections.abc import Iterator, Sequence

from mxlab.backends.base import Shape

PRIORITY = -10  # before a filter of anybody else's
CUT = 0x6D78  # the mark of a connection that is cut
HEADERS = 52  # bytes of IPv4 and TCP in each packet (with timestamps, as Linux sends them)
SYN_HEADERS = 60  # and in the first one of each direction
LONGER = 20  # bytes by which a header of IPv6 is
COUNTED = 128  # packets whose headers are taken off exactly
ONCE = "numgen inc mod 4294967295 == 0"  # true for the first packet that gets there
RESET = "tcp flags & rst == 0 reject with tcp reset"  # and the reset itself goes through
STEPS = 100_000  # the resolution of a share


def table_name(fault: str) -> str:
    """A name that nft can take, the same for the same fault."""
    return f"mxlab_{hashlib.sha256(fault.encode()).hexdigest()[:12]}"


def apply_script(fault: str, rules: str) -> str:
    """A shell's script that puts the rules in force, in one transaction, whatever was there."""
    table = f"table inet {table_name(fault)}"
    return f"exec nft -f - <<'END'\n{table}\ndelete {table}\n{table} {{\n{rules}}}\nEND\n"


def remove_script(fault: str) -> str:
    """The same for taking them away."""
    table = f"table inet {table_name(fault)}"
    return f"exec nft -f - <<'END'\n{table}\ndelete {table}\nEND\n"


def ruleset(shape: Shape, others: Sequence[str], *, inward: bool) -> str:
    """The chains that one end of the links needs, or an empty string where it needs none.

    `others`: the addresses at the other end. `inward`: this is the shape's host, to which the
    peers' packets come; False: this is a peer, to which the host's come.
    """
    families = list(_families(others))
    rules = [rule for family, there in families for rule in _rules(shape, family, there, inward)]
    if not rules:
        return ""
    if not inward or shape.cut_after is None:
        return _chain("input", rules)
    # So that this end hears of it too.
    ours = [f"{family} daddr {there} ct mark {CUT:#x} {RESET}" for family, there in families]
    once = _lines("cut", [f"{ONCE} ct mark set {CUT:#x}", f"ct mark {CUT:#x} {RESET}"])
    return once + _chain("input", rules) + _chain("output", ours)


def _families(others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The addresses of each family as a set, with the family's name in rules."""
    for family, six in (("ip", False), ("ip6", True)):
        if there := [address for address in others if (":" in address) == six]:
            yield family, "{ " + ", ".join(there) + " }"


def _rules(shape: Shape, family: str, there: str, inward: bool) -> Iterator[str]:
    """For what arrives from those addresses."""
    came = f"{family} saddr {there}"
    if inward:
        yield from _inward_only(shape, came, six=family == "ip6")
    if shape.drop:
        yield f"{came} drop"
    if shape.loss:
        share = max(1, round(shape.loss * STEPS))
        yield f"{came} numgen random mod {STEPS} < {share} counter drop"


def _inward_only(shape: Shape, came: str, *, six: bool) -> Iterator[str]:
    if shape.reject:
        prohibited = "icmpv6 admin-prohibited" if six else "icmp admin-prohibited"
        how = "tcp reset" if shape.reject == "reset" else prohibited
        yield f"{came} tcp flags & (fin | syn | rst | ack) == syn reject with {how}"
    if shape.cut_after is not None:
        yield f"{came} ct mark {CUT:#x} {RESET}"
        for way in ("original", "reply"):
            for packets, content in _more_than(shape.cut_after, LONGER if six else 0):
                yield (
                    f"{came} meta l4proto tcp ct direction {way} ct {way} packets {packets} "
                    f"ct {way} bytes > {content} jump cut"
                )


def _more_than(content: int, longer: int) -> Iterator[tuple[str, int]]:
    """By the number of packets: how many bytes they have when they carry more than `content`.
    `longer`: by how many bytes each header is longer than one of IPv4."""
    first, each = SYN_HEADERS - HEADERS, HEADERS + longer
    for packets in range(1, COUNTED + 1):
        yield str(packets), content + first + each * packets
    yield f"> {COUNTED}", content + first + each * COUNTED


def _chain(hook: str, rules: Sequence[str]) -> str:
    return _lines(hook, [f"type filter hook {hook} priority {PRIORITY};", *rules])


def _lines(chain: str, rules: Sequence[str]) -> str:
    return f"  chain {chain} {{\n" + "".join(f"    {rule}\n" for rule in rules) + "  }\n"
