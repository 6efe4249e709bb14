"""Odd DNS packets, and what a server answers: the rcode, AA, and whether an OPT, with DO, is back.

The zone is that of `dns_lab`, in which mx1.example.test has an address.
"""

import struct

import dns.flags
import dns.message
import dns.rcode


def raw(
    question: bytes = b"\x03mx1\x07example\x04test\0\0\1\0\1",
    rest: bytes = b"",
    *,
    flags: int = 0x0100,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
) -> bytes:
    """A message of these parts."""
    return struct.pack("!HHHHHH", 77, flags, *counts) + question + rest


def opt(data: bytes = b"", *, size: int = 1232, version: int = 0, flags: int = 0) -> bytes:
    """An OPT record."""
    return struct.pack("!BHHBBHH", 0, 41, size, 0, version, flags, len(data)) + data


ONE_OPT = (1, 0, 0, 1)
MX1 = b"\x03mx1\x07example\x04test\0"
PACKETS: dict[str, tuple[bytes, str]] = {
    "a question": (raw(), "NOERROR AA"),
    "with EDNS": (raw(rest=opt(), counts=ONE_OPT), "NOERROR AA EDNS"),
    "DO": (raw(rest=opt(flags=0x8000), counts=ONE_OPT), "NOERROR AA EDNS DO"),
    "other EDNS flags": (raw(rest=opt(flags=0x7FFF), counts=ONE_OPT), "NOERROR AA EDNS"),
    "size 0": (raw(rest=opt(size=0), counts=ONE_OPT), "NOERROR AA EDNS"),
    "an unknown option": (raw(rest=opt(b"\xff\xf0\0\3abc"), counts=ONE_OPT), "NOERROR AA EDNS"),
    "an option longer than the data": (
        raw(rest=opt(b"\xff\xf0\0\4abc"), counts=ONE_OPT),
        "FORMERR EDNS",
    ),
    "half an option": (raw(rest=opt(b"\xff\xf0\0"), counts=ONE_OPT), "FORMERR EDNS"),
    "data longer than the message": (raw(rest=opt(b"abcd")[:-2], counts=ONE_OPT), "FORMERR"),
    "version 1": (raw(rest=opt(version=1), counts=ONE_OPT), "BADVERS EDNS"),
    "version 1 and DO": (raw(rest=opt(version=1, flags=0x8000), counts=ONE_OPT), "BADVERS EDNS DO"),
    "two OPTs": (raw(rest=opt() * 2, counts=(1, 0, 0, 2)), "FORMERR EDNS"),
    "an OPT with a name": (raw(rest=b"\1a" + opt(), counts=ONE_OPT), "FORMERR EDNS"),
    "OPT in the answer section": (raw(rest=opt(), counts=(1, 1, 0, 0)), "FORMERR"),
    "class ANY": (raw(MX1 + b"\0\1\0\xff"), "NOERROR"),
    "class CH": (raw(MX1 + b"\0\1\0\3"), "REFUSED"),
    "class NONE": (raw(MX1 + b"\0\1\0\xfe"), "REFUSED"),
    "no such name in class ANY": (raw(b"\2no\7example\4test\0\0\1\0\xff"), "NXDOMAIN"),
    "type OPT": (raw(MX1 + b"\0\x29\0\1"), "FORMERR"),
    "type 0": (raw(MX1 + b"\0\0\0\1"), "NOERROR AA"),
    "type MAILB": (raw(MX1 + b"\0\xfd\0\1"), "NOERROR AA"),
    "type TSIG": (raw(MX1 + b"\0\xfa\0\1"), "NOERROR AA"),
    "AXFR": (raw(b"\7example\4test\0\0\xfc\0\1"), "REFUSED"),
    "no question": (raw(b"", counts=(0, 0, 0, 0)), "FORMERR"),
    "no question but EDNS": (raw(b"", opt(), counts=(0, 0, 0, 1)), "FORMERR EDNS"),
    "two questions": (raw(rest=raw()[12:], counts=(2, 0, 0, 0)), "FORMERR"),
    "a question cut short": (raw()[:-1], "FORMERR"),
    "a header alone": (raw()[:12], "FORMERR"),
    "half a header": (raw()[:8], "silence"),
    "behind the message, more": (raw(rest=b"more"), "FORMERR"),
    "a response": (raw(flags=0x8100), "silence"),
    "a response with an error": (raw(flags=0x8101), "silence"),
    "NOTIFY": (raw(b"\7example\4test\0\0\6\0\1", flags=0x2000), "NOTAUTH"),
    "NOTIFY of another type": (raw(flags=0x2000), "FORMERR"),
    "UPDATE": (raw(flags=0x2800), "NOTIMP"),
    "STATUS": (raw(flags=0x1000), "NOTIMP"),
    "opcode 15 with EDNS": (raw(rest=opt(), flags=0x7900, counts=ONE_OPT), "NOTIMP EDNS"),
    "all other flags": (raw(flags=0x07F0), "NOERROR AA"),
    "a pointer to itself": (raw(b"\xc0\x0c\0\1\0\1"), "FORMERR"),
    "a pointer to the header": (raw(b"\3mx1\xc0\x04\0\1\0\1"), "FORMERR"),
    "a pointer beyond the end": (raw(b"\xc3\xff\0\1\0\1"), "FORMERR"),
    "a label of type 01": (raw(b"\x41a\0\0\1\0\1"), "FORMERR"),
    "a label of type 10": (raw(b"\x80a\0\0\1\0\1"), "FORMERR"),
    "a label of 64": (raw(b"\x40" + b"a" * 64 + b"\0\0\1\0\1"), "FORMERR"),
    "a name of 255": (
        raw((b"\x3f" + b"a" * 63) * 3 + b"\x30" + b"a" * 48 + MX1[4:] + b"\0\1\0\1"),
        "NXDOMAIN AA",
    ),
    "a name of 256": (
        raw((b"\x3f" + b"a" * 63) * 3 + b"\x31" + b"a" * 49 + MX1[4:] + b"\0\1\0\1"),
        "FORMERR",
    ),
    "case": (raw(b"\3mX1\7eXaMpLe\4tEsT\0\0\1\0\1"), "NOERROR AA"),
    "a record too few": (raw(rest=opt(), counts=(1, 0, 0, 2)), "FORMERR EDNS"),
    "an additional A": (raw(rest=MX1 + b"\0\1\0\1\0\0\0\0\0\4abcd", counts=ONE_OPT), "NOERROR AA"),
    "an additional A by a pointer": (
        raw(rest=b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4abcd", counts=ONE_OPT),
        "NOERROR AA",
    ),
}


def summary(reply: bytes) -> str:
    """An answer in the words of the table above."""
    if not reply:
        return "silence"
    identifier, flags = struct.unpack_from("!HH", reply)
    assert (identifier, flags & 0x8000) == (77, 0x8000)
    opcode = flags & 0x7800
    # dnspython reads the sections of an UPDATE otherwise; here they are like any other's.
    message = dns.message.from_wire(reply[:2] + struct.pack("!H", flags & ~opcode) + reply[4:])
    words = [dns.rcode.to_text(message.rcode())]
    words += ["AA"] if flags & dns.flags.AA else []
    words += ["EDNS"] if message.edns == 0 else []
    words += ["DO"] if message.ednsflags & dns.flags.DO else []
    return " ".join(words)
