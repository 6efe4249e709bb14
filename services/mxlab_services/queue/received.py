"""The Received field that an MTA puts on top of a message (RFC 5321 §4.4). Pure."""

from mxlab_services.clock import rfc5322_date
from mxlab_services.message import Origin

_UNSAFE = str.maketrans(dict.fromkeys(map(chr, (*range(33), 127, *b"()<>\\;")), "?"))
_NAME = 255  # bytes; RFC 5321 §4.5.3.1.2


def received_field(
    hostname: str, origin: Origin, queue_id: str, at: float, recipient: str | None
) -> bytes:
    """The field, folded, with its final CRLF. `at` is lab time.

    `recipient` is named only where a message has a single one: naming more would tell the others
    of blind copies (RFC 5321 §7.6). A name from HELO that is not printable is made so.
    """
    if origin.peer:
        helo = origin.helo[:_NAME].translate(_UNSAFE) or "unknown"
        literal = f"IPv6:{origin.peer}" if ":" in origin.peer else origin.peer
        lines = [f"Received: from {helo} ([{literal}])"]
        lines.append(f"by {hostname} with {origin.protocol} id {queue_id}")
    else:
        lines = [f"Received: by {hostname} with {origin.protocol} id {queue_id}"]
    lines[-1] += ";" if recipient is None else ""
    if recipient is not None:
        lines.append(f"for <{recipient}>;")
    lines.append(rfc5322_date(at))
    return "\r\n\t".join(lines).encode("utf-8", "replace") + b"\r\n"
