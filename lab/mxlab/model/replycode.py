"""Codes of replies and notifications, as a scenario names them: a reply's own (RFC 5321 §4.2), a
class of them (`4xx`), or an enhanced status code (RFC 3463). Pure."""

import re
from typing import Annotated

import msgspec

_ENHANCED = r"\.\d{1,3}\.\d{1,3}"
_NAMED = "a code: a reply's (450), a class (4xx), or an enhanced one (4.2.2)"
ReplyCode = (
    Annotated[int, msgspec.Meta(ge=200, le=599)]
    | Annotated[str, msgspec.Meta(pattern=rf"^([2-5]xx|[245]{_ENHANCED})$", description=_NAMED)]
)
FailureCode = (  # of what is given up for good
    Annotated[int, msgspec.Meta(ge=500, le=599)]
    | Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^(5xx|5{_ENHANCED})$",
            description="a code of a failure: a reply's (550), 5xx, or an enhanced one (5.1.1)",
        ),
    ]
)
_CODE = re.compile(rf"(\d{{3}}\b)? ?([245]{_ENHANCED}\b)?")


def code_problem(code: int | str | None) -> str:
    """Why no reply can have that code, or nothing."""
    if isinstance(code, int) and code // 10 % 10 > 5:
        return f"{code} is no code of a reply: its second digit is 0 to 5 (RFC 5321 §4.2.1)"
    return ""


def code_fits(code: int | str, *texts: str) -> bool:
    """Whether one of the `texts` begins with that code: replies (`450 4.2.2 busy`), or enhanced
    codes alone."""
    return any(_fits(code, text) for text in texts)


def code_of(text: str) -> str:
    """The codes with which a reply begins, without its words."""
    found = _CODE.match(text)
    return found[0].strip() if found else ""


def _fits(code: int | str, text: str) -> bool:
    codes = code_of(text).split()
    basic = next((one for one in codes if "." not in one), "")
    enhanced = next((one for one in codes if "." in one), "")
    if isinstance(code, int):
        return basic == str(code)
    if code.endswith("xx"):
        return (basic or enhanced)[:1] == code[0]
    return enhanced == code
