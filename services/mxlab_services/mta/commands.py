"""The arguments of MAIL and RCPT, parsed into values. Pure.

Grammar: RFC 5321 §4.1.2 with the parameters of RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531
(SMTPUTF8) and RFC 3461 (RET, ENVID, NOTIFY, ORCPT). What cannot be parsed is a Reply, not an
exception.
"""

import ipaddress
import re

from msgspec import Struct

from mxlab_services.mta.types import Recipient, Reply

_PATH = re.compile(
    r'\s*<(?:@[^:>"]*:)?(?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?:\s+(?P<parameters>.*))?\s*',
    re.DOTALL,
)
# A character beyond ASCII, without controls. Written as what it is not: a class that goes up
# to U+10FFFF takes milliseconds to compile.
_WIDE = r"[^\x00-\xa0]"
_ATOM = rf"(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]|{_WIDE})+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_LOCAL = re.compile(rf'(?:{_DOT_STRING}|"(?:[ !#-\[\]-~]|{_WIDE}|\\[ -~])*")', re.ASCII)
_PLAIN = re.compile(_DOT_STRING)
_LETTER = rf"(?:[A-Za-z0-9]|{_WIDE})"  # or digit
_LABEL = rf"{_LETTER}(?:(?:[A-Za-z0-9_-]|{_WIDE}){{0,61}}{_LETTER})?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+")
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")

LOCAL_PART_BYTES, DOMAIN_BYTES, PATH_BYTES = 64, 255, 256  # RFC 5321 §4.5.3.1.1 to .3
ENVID_CHARACTERS, ORCPT_CHARACTERS = 100, 500  # RFC 3461 §4.4, §4.2


class MailFrom(Struct, frozen=True):
    """MAIL FROM with its parameters; `size` is the bytes that the client announces."""

    sender: str
    size: int = 0
    eightbit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


def mail_from(argument: str, *, extended: bool) -> MailFrom | Reply:
    """Parse what follows `MAIL`; parameters only where the session is `extended` (EHLO)."""
    split = _split(argument, "FROM:", extended=extended)
    if isinstance(split, Reply):
        return split
    sender, parameters = split
    values: dict[str, object] = {}
    for key, value in parameters.items():
        match key:
            case "SIZE" if value.isascii() and value.isdigit() and len(value) <= 20:
                values["size"] = int(value)
            case "BODY" if value.upper() in ("7BIT", "8BITMIME"):
                values["eightbit"] = value.upper() == "8BITMIME"
            case "SMTPUTF8" if not value:
                values["smtputf8"] = True
            case "RET" if value.upper() in ("FULL", "HDRS"):
                values["ret"] = value.upper()
            case "ENVID" if value and _is_xtext(value, ENVID_CHARACTERS):
                values["envid"] = value
            case "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID":
                return Reply(501, "5.5.4", f"bad value of parameter {key}")
            case _:
                return Reply(555, "5.5.4", f"unsupported parameter {shown(key)}")
    problem = _problem(sender, smtputf8="smtputf8" in values) if sender else None
    return problem or MailFrom(sender, **values)  # type: ignore[arg-type]


def rcpt_to(argument: str, *, extended: bool, smtputf8: bool) -> Recipient | Reply:
    """Parse what follows `RCPT`. The address may be a bare `postmaster` (RFC 5321 §4.1.1.3)."""
    split = _split(argument, "TO:", extended=extended)
    if isinstance(split, Reply):
        return split
    address, parameters = split
    notify = orcpt = ""
    for key, value in parameters.items():
        match key:
            case "NOTIFY" if is_notify(value):
                notify = value.upper()
            case "ORCPT" if _is_orcpt(value):
                orcpt = value
            case "NOTIFY" | "ORCPT":
                return Reply(501, "5.5.4", f"bad value of parameter {key}")
            case _:
                return Reply(555, "5.5.4", f"unsupported parameter {shown(key)}")
    if address.lower() != "postmaster":
        problem = _problem(address, smtputf8=smtputf8)
        if problem:
            return problem
    return Recipient(address, notify, orcpt)


def _split(argument: str, keyword: str, *, extended: bool) -> tuple[str, dict[str, str]] | Reply:
    """The address between the brackets, and the parameters after them by upper-case keyword."""
    if argument[: len(keyword)].upper() != keyword:
        return Reply(501, "5.5.4", f"syntax: {keyword}<address>")
    match = _PATH.fullmatch(argument[len(keyword) :])
    if match is None:
        return Reply(501, "5.1.7" if keyword == "FROM:" else "5.1.3", "bad address syntax")
    parameters: dict[str, str] = {}
    for word in (match["parameters"] or "").split():
        if not extended:
            return Reply(501, "5.5.4", "parameters need EHLO")
        key, _, value = word.partition("=")
        if key.upper() in parameters:
            return Reply(501, "5.5.4", f"parameter {shown(key)} is given twice")
        parameters[key.upper()] = value
    return match["address"], parameters


def _problem(address: str, *, smtputf8: bool) -> Reply | None:
    """Why `address` is no mailbox (RFC 5321 §4.1.2), or None."""
    try:
        size = len(address.encode())
    except UnicodeEncodeError:
        return Reply(501, "5.1.3", "the address is not UTF-8")
    if not address.isascii() and not smtputf8:
        return Reply(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8")
    local, at, domain = address.rpartition("@")
    if (
        not at
        or size > PATH_BYTES - 2
        or len(local.encode()) > LOCAL_PART_BYTES
        or len(domain.encode()) > DOMAIN_BYTES
        or not _LOCAL.fullmatch(local)
        or not (_DOMAIN.fullmatch(domain) or _is_literal(domain))
    ):
        return Reply(553, "5.1.3", "the address is malformed")
    return None


def _is_literal(domain: str) -> bool:
    """An address in brackets (RFC 5321 §4.1.3)."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return False
    inner = domain[1:-1]
    try:
        ipaddress.ip_address(inner[5:] if inner.lower().startswith("ipv6:") else inner)
    except ValueError:
        return False
    return True


def is_notify(value: str) -> bool:
    """Whether `value` is one of the parameter NOTIFY (RFC 3461 §4.1)."""
    wishes = value.upper().split(",")
    return wishes == ["NEVER"] or (
        len(set(wishes)) == len(wishes) and all(wish in _NOTIFY for wish in wishes)
    )


def _is_orcpt(value: str) -> bool:
    kind, semicolon, address = value.partition(";")
    return bool(
        semicolon
        and _ADDRESS_TYPE.fullmatch(kind)
        and address
        and _is_xtext(address, ORCPT_CHARACTERS)
    )


def _is_xtext(value: str, most: int) -> bool:
    return len(value) <= most and bool(_XTEXT.fullmatch(value))


def plain_local_part(local_part: str) -> str:
    """The local part without quotes, where it needs none (RFC 5321 §4.1.2)."""
    if not local_part.startswith('"'):
        return local_part
    plain = re.sub(r"\\(.)", r"\1", local_part[1:-1])
    return plain if _PLAIN.fullmatch(plain) else local_part


def shown(text: str, most: int = 40) -> str:
    """A peer's word, fit for a reply line."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text[:most])


def host_name(argument: str) -> str:
    """The name that HELO or EHLO gives, made fit for a header field: it is only ever shown.

    Empty where there is none, or where it is too long for a domain.
    """
    name = argument.partition(" ")[0]
    return shown(name, DOMAIN_BYTES) if len(name) <= DOMAIN_BYTES else ""
