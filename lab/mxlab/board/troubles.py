"""What goes wrong while a request is served, as a reply with words and a next step."""

import functools
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mxlab.board.guard import BadBody
from mxlab.board.views import Trouble
from mxlab.errors import LabError, Refused, UnknownName, Unsupported, UsageError

Handler = Callable[[Request], Awaitable[Response]]


def told_well(handler: Handler) -> Handler:
    """The handler, whose errors of a kind that is meant to be are replies."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
            return trouble(400, str(error))
        except LabError as error:
            return trouble(_status(error), str(error), error.hint)
        except BadBody as error:
            return trouble(error.status, str(error))
        except ClientDisconnect:
            return Response(status_code=400)

    return handle


def trouble(
    status: int, text: str, hint: str = "", headers: dict[str, str] | None = None
) -> Response:
    """A reply that says what is wrong."""
    body = encoded(Trouble(text, hint))
    return Response(body, status, headers, "application/json")


def encoded(reply: object) -> bytes:
    """As JSON, exactly."""
    try:
        return msgspec.json.encode(reply)
    except UnicodeEncodeError:  # a byte of a name or a message that is no text
        from mxlab.visible import exact_json

        return exact_json(reply).encode()


def _status(error: LabError) -> int:
    match error:
        case UnknownName():
            return 404
        case Refused() | Unsupported():
            return 409
        case UsageError():
            return 400
        case _:
            return 503
