"""Mail addresses (RFC 5321 §4.1.2): what is one, and the one form in which two are compared. Pure.

Policy, recipient lists, routing, duplicates, mailboxes, faults and the lab's accounts all compare
`canonical` forms. What is sent on, stored in the queue and told in replies is the form given.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, TypeVar

from msgspec import Struct

from mxlab_services.domain import DomainError, checked, fold_domain

T = TypeVar("T")
LOCAL_PART_OCTETS, DOMAIN_OCTETS, PATH_OCTETS = 64, 255, 256  # RFC 5321 §4.5.3.1.1 to .3
# A character beyond ASCII, without controls. Written as what it is not: a class that goes up
# to U+10FFFF takes milliseconds to compile.
_WIDE = r"[^\x00-\xa0\ud800-\udfff]"
_ATOM = rf"(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]|{_WIDE})+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_PLAIN = re.compile(_DOT_STRING)
_QUOTED = re.compile(rf'"((?:[ !#-\[\]-~]|{_WIDE}|\\[ -~])*)"', re.ASCII)


class AddressProblem(Struct, frozen=True):
    """Why a text is no address. Only what is in bounds and UTF-8 is judged by its syntax."""

    text: str
    kind: Literal["syntax", "length", "encoding"] = "syntax"


@lru_cache(maxsize=1024)
def problem_of(address: str) -> AddressProblem | None:
    """Why `address` is no mailbox that a server may take, or None."""
    local, at, domain = address.rpartition("@")
    if not at:
        return AddressProblem("it has no @ (local-part@domain)")
    try:
        octets = [len(part.encode()) for part in (local, domain, address)]
    except UnicodeEncodeError:
        return AddressProblem("it is not UTF-8", "encoding")
    for what, has, most, section in (
        ("local part", octets[0], LOCAL_PART_OCTETS, 1),
        ("domain", octets[1], DOMAIN_OCTETS, 2),
        ("path, with its brackets,", octets[2] + 2, PATH_OCTETS, 3),
    ):
        if has > most:
            rule = f"at most {most} are allowed (RFC 5321 4.5.3.1.{section})"
            return AddressProblem(f"the {what} has {has} octets; {rule}", kind="length")
    if not (_PLAIN.fullmatch(local) or _QUOTED.fullmatch(local)):
        return AddressProblem("the local part is neither a dot-string nor quoted (RFC 5321 4.1.2)")
    if domain.startswith("["):
        fine = literal_address(domain) is not None
        return None if fine else AddressProblem(f"{domain} is no address literal (RFC 5321 4.1.3)")
    try:
        checked(domain)
    except DomainError as error:
        return AddressProblem(str(error))
    return None


@lru_cache(maxsize=8192)
def canonical(address: str) -> str:
    """The form in which addresses are compared: two are one mailbox if theirs are equal.

    Quotes that are not needed are gone (§4.1.2), the domain is in lower case and A-labels, address
    literals are in their shortest form. Local parts differ by more than case (the lab's own rule,
    which §2.4 leaves to the final host) and by more than composition (RFC 6532 §3.1).
    """
    local, at, domain = address.rpartition("@")
    return f"{_local(local)}@{_domain(domain)}" if at else _local(domain)


def domain_of(address: str) -> str:
    """The domain of an address in the form in which it is compared; empty if there is none."""
    return canonical(address).rpartition("@")[2] if "@" in address else ""


def local_part_of(address: str) -> str:
    """The local part in the form in which it is compared; all of it where there is no domain."""
    return canonical(address).rpartition("@")[0] if "@" in address else canonical(address)


def plainest(address: str) -> str:
    """The address as given, its domain in A-labels where that makes it ASCII."""
    local, at, domain = address.rpartition("@")
    if address.isascii() or not local.isascii():
        return address
    return f"{local}{at}{fold_domain(domain)}"


def distinct(items: Iterable[T], address: Callable[[T], str]) -> list[T]:
    """The items of which each is the first for its address, in order."""
    found: dict[str, T] = {}
    for item in items:
        found.setdefault(canonical(address(item)), item)
    return list(found.values())


def literal_address(domain: str) -> str | None:
    """The IP address in an address literal (§4.1.3), or None where `domain` is none."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inner = domain[1:-1]
    tagged = inner[:5].lower() == "ipv6:"
    try:
        if not tagged:
            return str(ipaddress.IPv4Address(inner))
        address = ipaddress.IPv6Address(inner[5:])
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


def literal_of(address: str) -> str:
    """The address literal of an IP address, as it is compared."""
    return f"[ipv6:{address}]" if ":" in address else f"[{address}]"


def _domain(domain: str) -> str:
    address = literal_address(domain)
    return fold_domain(domain) if address is None else literal_of(address)


def _local(local: str) -> str:
    if quoted := _QUOTED.fullmatch(local):
        meant = re.sub(r"\\(.)", r"\1", quoted[1])
        local = meant if _PLAIN.fullmatch(meant) else _quote(meant)
    if local.isascii():
        return local.lower()
    # Letter by letter, since the small form of a final sigma depends on its neighbours.
    lowered = "".join(map(str.lower, unicodedata.normalize("NFC", local)))
    return unicodedata.normalize("NFC", lowered)


def _quote(text: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
