"""Serial numbers of zones, which wrap around (RFC 1982). Pure."""

_HALF = 2**31


def newer(serial: int, than: int) -> bool:
    """Whether `serial` comes after `than` (RFC 1982 §3.2). Where they are half the circle apart the
    RFC leaves it open: then neither is newer."""
    return 0 < (serial - than) % 2**32 < _HALF


def following(serial: int) -> int:
    """The next one (RFC 1982 §3.1)."""
    return (serial + 1) % 2**32
