"""Who may come in: a student to their own seat, the teacher to all.

A token is shown once, in the address or as a bearer token; a browser then has a cookie that names
its seat and is signed with the class's key. Wrong tokens are counted for each address they come
from, in bounded memory; who has a cookie already is never held up by them.
"""

import hashlib
import hmac
import http.cookies
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from mxlab.board.views import Trouble
from mxlab.classroom.plan import ClassPlan, SeatPlan

BURST = 10  # wrong tokens from one address before it has to wait
PACE = 3.0  # real seconds in which one more is allowed
ADDRESSES = 4096  # that are remembered; the one that was quiet longest is forgotten first


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is in: at a seat, or (0) the teacher."""

    seat: int

    @property
    def teaches(self) -> bool:
        return self.seat == 0


class WrongTokens:
    """How many came from where. `now`: seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until a token from there is looked at again; 0: at once."""
        left = self._now(network(address), now)
        return 0.0 if left >= 1 else (1 - left) * PACE

    def note(self, address: str, now: float) -> None:
        """A wrong one came from there."""
        key = network(address)
        self._left[key] = (self._now(key, now) - 1, now)
        self._left.move_to_end(key)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)

    def _now(self, key: str, now: float) -> float:
        left, then = self._left.get(key, (float(BURST), now))
        return min(float(BURST), left + (now - then) / PACE)

    def __len__(self) -> int:
        return len(self._left)


def network(address: str) -> str:
    """An address; of IPv6 its /64, since one host has them all."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False).network_address)


class Door:
    """The tokens of a class, and the cookies in their place."""

    def __init__(self, plan: ClassPlan, key: bytes) -> None:
        self.cookie = f"mxlab_class_{plan.port}"  # cookies know no ports
        self._tokens = [(0, plan.teacher_token), *((s.number, s.token) for s in plan.seats)]
        self._values = {seat: self._value(key, seat, token) for seat, token in self._tokens}

    def _value(self, key: bytes, seat: int, token: str) -> str:
        signed = hmac.new(key, f"{self.cookie} {seat} {token}".encode(), hashlib.sha256)
        return f"{seat}.{signed.hexdigest()}"

    def of_token(self, given: str) -> Person | None:
        """Whose token it is. All are compared, each in constant time."""
        shown, found = given.encode("utf-8", "replace"), None
        for seat, token in self._tokens:
            if hmac.compare_digest(shown, token.encode()):
                found = Person(seat)
        return found

    def of_cookie(self, header: str) -> Person | None:
        """Whose cookie is in a Cookie field, if it is one of ours."""
        jar: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        try:
            jar.load(header)
        except http.cookies.CookieError:
            return None
        given = jar[self.cookie].value if self.cookie in jar else ""
        seat = given.partition(".")[0]
        known = self._values.get(int(seat)) if seat.isascii() and seat.isdecimal() else None
        if known is None or not hmac.compare_digest(
            given.encode("utf-8", "replace"), known.encode()
        ):
            return None
        return Person(int(seat))

    def set_cookie(self, who: Person) -> str:
        """The Set-Cookie field for them."""
        return f"{self.cookie}={self._values[who.seat]}; HttpOnly; SameSite=Strict; Path=/"


def right_secret(seat: SeatPlan, headers: dict[str, str]) -> bool:
    """Whether a request is the seat's own: it has its secret as a bearer token."""
    return hmac.compare_digest(bearer(headers).encode("utf-8", "replace"), seat.secret.encode())


def bearer(headers: dict[str, str]) -> str:
    """The bearer token of a request, or nothing."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.casefold() == "bearer" else ""


def stranger(headers: dict[str, str], names: Iterable[str]) -> Trouble | None:
    """Why a page of elsewhere asks, if one does. A Host that is an address is ours, since no DNS of
    somebody else can lead here by it; a name is ours if it is localhost or one of `names`."""
    host = headers.get("host", "").casefold()
    if not _own_name(host, names):
        hint = "open the address of the handout; `mxlab class serve --host NAME` adds a name"
        return Trouble("this is not the host that you asked for", hint)
    origin = headers.get("origin")
    if origin is not None and _place(origin) != host:
        return Trouble("a page of another origin may not ask here")
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
        return Trouble("a page of another origin may not ask here")
    return None


def _own_name(host: str, names: Iterable[str]) -> bool:
    try:
        found = urlsplit(f"//{host}")
        name = found.hostname or ""
        _ = found.port
    except ValueError:
        return False
    if found.username is not None or found.path or found.query or found.fragment:
        return False
    if name == "localhost" or name in {one.casefold() for one in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(origin: str) -> str | Literal[False]:
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:
        return False
