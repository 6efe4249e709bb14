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
    there = "{ " + ", ".join(others) + " }"
    came = f"ip saddr {there}"
    rules = list(_inward_only(shape, came)) if inward else []
    if shape.drop:
        rules.append(f"{came} drop")
    if shape.loss:
        rules.append(
            f"{came} numgen random mod {STEPS} < {max(1, round(shape.loss * STEPS))} counter drop"
        )
    if not rules:
        return ""
    if not inward or shape.cut_after is None:
        return _chain("input", rules)
    ours = f"ip daddr {there} ct mark {CUT:#x} {RESET}"  # so that this end hears of it too
    once = _lines("cut", [f"{ONCE} ct mark set {CUT:#x}", f"ct mark {CUT:#x} {RESET}"])
    return once + _chain("input", rules) + _chain("output", [ours])


def _inward_only(shape: Shape, came: str) -> Iterator[str]:
    if shape.reject:
        how = "tcp reset" if shape.reject == "reset" else "icmp admin-prohibited"
        yield f"{came} tcp flags & (fin | syn | rst | ack) == syn reject with {how}"
    if shape.cut_after is not None:
        yield f"{came} ct mark {CUT:#x} {RESET}"
        for way in ("original", "reply"):
            for packets, content in _more_than(shape.cut_after):
                yield (
                    f"{came} meta l4proto tcp ct direction {way} ct {way} packets {packets} "
                    f"ct {way} bytes > {content} jump cut"
                )


def _more_than(content: int) -> Iterator[tuple[str, int]]:
    """By the number of packets: how many bytes they have when they carry more than `content`."""
    first = SYN_HEADERS - HEADERS
    for packets in range(1, COUNTED + 1):
        yield str(packets), content + first + HEADERS * packets
    yield f"> {COUNTED}", content + first + HEADERS * COUNTED


def _chain(hook: str, rules: Sequence[str]) -> str:
    return _lines(hook, [f"type filter hook {hook} priority {PRIORITY};", *rules])


def _lines(chain: str, rules: Sequence[str]) -> str:
    return f"  chain {chain} {{\n" + "".join(f"    {rule}\n" for rule in rules) + "  }\n"
