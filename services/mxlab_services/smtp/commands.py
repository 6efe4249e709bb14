"""The arguments of MAIL and RCPT, parsed into values. Pure.

Grammar: RFC 5321 §4.1.2 with the parameters of RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531
(SMTPUTF8) and RFC 3461 (RET, ENVID, NOTIFY, ORCPT). What cannot be parsed is a Reply, not an
exception.
"""

import re

from msgspec import Struct

from mxlab_services.address import DOMAIN_OCTETS, canonical, problem_of
from mxlab_services.message import Recipient
from mxlab_services.reply import Reply

_PATH = re.compile(
    r'\s*<(?:@[^:>"]*:)?(?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?:\s+(?P<parameters>.*))?\s*',
    re.DOTALL,
)
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+")
_NOTIFY = ("SUCCESS", "FAILURE", "DELAY")

_TEXT = 200  # characters of a reason in a reply
ENVID_CHARACTERS, ORCPT_CHARACTERS = 100, 500  # RFC 3461 §4.4, §4.2
AUTH_CHARACTERS = 500  # RFC 4954 §3


class MailFrom(Struct, frozen=True):
    """MAIL FROM with its parameters; `size` is the bytes that the client announces."""

    sender: str
    size: int = 0
    eightbit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


def mail_from(argument: str, *, extended: bool, auth: bool = False) -> MailFrom | Reply:
    """Parse what follows `MAIL`; parameters only where the session is `extended` (EHLO). `auth`:
    whether AUTH= may be among them, which goes no further (RFC 4954 §5)."""
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
            case "AUTH" if auth and value and _is_xtext(value, AUTH_CHARACTERS):
                pass
            case "AUTH" if auth:
                return Reply(501, "5.5.4", "bad value of parameter AUTH")
            case "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID":
                return Reply(501, "5.5.4", f"bad value of parameter {key}")
            case _:
                return Reply(555, "5.5.4", f"unsupported parameter {shown(key)}")
    problem = _problem(sender, smtputf8="smtputf8" in values, syntax="5.1.7") if sender else None
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
    if canonical(address) != "postmaster":
        problem = _problem(address, smtputf8=smtputf8, syntax="5.1.3")
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


def _problem(address: str, *, smtputf8: bool, syntax: str) -> Reply | None:
    """Why `address` is no mailbox (RFC 5321 §4.1.2), or None. `syntax`: the enhanced code of a
    wrong one (RFC 3463 §3.2)."""
    wrong = problem_of(address)
    if wrong is not None and wrong.kind != "syntax":
        return Reply(501, syntax, shown(wrong.text, _TEXT))  # as RFC 5321 §4.5.3.1.10 says
    if not address.isascii() and not smtputf8:
        return Reply(553, "5.6.7", "an address beyond ASCII needs SMTPUTF8")
    if wrong is not None:
        return Reply(553, syntax, f"malformed address: {shown(wrong.text, _TEXT)}")
    return None


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


def shown(text: str, most: int = 40) -> str:
    """A peer's word, fit for a reply line."""
    text = text[:most]
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)


def host_name(argument: str) -> str:
    """The name that HELO or EHLO gives, made fit for a header field: it is only ever shown.

    Empty where there is none, or where it is too long for a domain.
    """
    name = argument.partition(" ")[0]
    return shown(name, DOMAIN_OCTETS) if len(name) <= DOMAIN_OCTETS else ""
