"""One HTTP request at a time, with nothing but Python: a seat to the class server, `up` to both.

Memory is why: a seat has little, and asks seldom.
"""

import asyncio
import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

from mxlab.errors import EnvironmentProblem

SECONDS = 10.0  # of silence


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back."""

    status: int
    body: bytes


async def ask(
    method: str, url: str, token: str, body: bytes | None = None, seconds: float = SECONDS
) -> HttpReply:
    """Ask with that bearer token. Raises EnvironmentProblem where nobody answers."""
    return await asyncio.to_thread(_ask, method, url, token, body, seconds)


def _ask(method: str, url: str, token: str, body: bytes | None, seconds: float) -> HttpReply:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=seconds)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    try:
        connection.request(
            method, place.path + (f"?{place.query}" * bool(place.query)), body, headers
        )
        reply = connection.getresponse()
        return HttpReply(reply.status, reply.read())
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise EnvironmentProblem(f"{place.netloc} does not answer: {reason}") from error
    finally:
        connection.close()
