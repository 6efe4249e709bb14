"""Record types: their numbers and names, and which of them a zone may hold. Pure."""

import re

from dnslib import QTYPE

from mxlab_services.errors import ZoneError

_NUMBERS: dict[str, int] = {name: number for number, name in QTYPE.forward.items() if number != 53}
_NUMBERS["SMIMEA"] = 53  # dnslib takes it for HIP, which is 55
_NAMES: dict[int, str] = {number: name for name, number in _NUMBERS.items()}
_GENERIC = re.compile(r"TYPE(\d{1,5})", re.IGNORECASE)
_MOST = 65535
_UNSERVED = {  # what would have to be obeyed, or made, rather than kept
    "DNAME": "RFC 6672's redirection is not served here",
    "OPT": "it belongs to messages, not to zones (RFC 6891 §6.1.1)",
}


def type_number(text: str) -> int | None:
    """The number of a record type, by its mnemonic or as TYPE1234 (RFC 3597 §5)."""
    number = _NUMBERS.get(text.upper())
    if number is None and (match := _GENERIC.fullmatch(text)) and int(match[1]) <= _MOST:
        number = int(match[1])
    return number


def known_types() -> tuple[str, ...]:
    """The mnemonics of record types."""
    return tuple(_NUMBERS)


def type_name(number: int) -> str:
    """A record type's mnemonic, or TYPE1234 where it has none here (RFC 3597 §5)."""
    return _NAMES.get(number, f"TYPE{number}")


def zone_type(text: str) -> str | None:
    """The one name of a type that a zone may hold, None where `text` is no type.

    Raises ZoneError for a type that no zone holds, or that could not be served right.
    """
    number = type_number(text)
    if number is None:
        return None
    name = type_name(number)
    if name in _UNSERVED:
        raise ZoneError(f"record type {name}: {_UNSERVED[name]}")
    if number == 0 or 128 <= number <= 255:  # RFC 6895 §3.1
        raise ZoneError(f"record type {name}: it is for questions only, no zone holds it")
    return name
