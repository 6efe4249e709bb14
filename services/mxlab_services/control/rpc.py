"""Control requests on the wire, and who answers them in a node.

Line-delimited JSON-RPC 2.0: one object per line in either direction, answered in any order by id.
A request that is not understood gets an error, and the next one its answer.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, cast

import msgspec

from mxlab_services.control.requests import Request
from mxlab_services.errors import ControlError, ServiceError

log = logging.getLogger(__name__)

MAX_LINE = 16 * 1024 * 1024  # bytes of one request or reply
R = TypeVar("R")
Handler = Callable[[Any], Awaitable[Any]]


class Controls:
    """The requests that one node answers."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[type[Request[Any]], Handler]] = {}

    def add(self, request: type[Request[R]], handler: Callable[[Any], Awaitable[R]]) -> None:
        """Answer `request` with `handler`, which gets the request and returns its reply."""
        self._handlers[request.method] = request, handler

    def kind(self, method: str) -> type[Request[Any]]:
        """The request of that method. Raises ControlError where it is not answered here."""
        if method not in self._handlers:
            raise ControlError(f"this node does not answer {method!r}", -32601)
        return self._handlers[method][0]

    async def __call__(self, request: Request[R]) -> R:
        """Answer a request in this process. Raises ControlError."""
        self.kind(request.method)
        return cast("R", await self._handlers[request.method][1](request))


class _Call(msgspec.Struct):
    id: int
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    jsonrpc: Literal["2.0"] = "2.0"


class _Fault(msgspec.Struct):
    code: int
    message: str


class _Answer(msgspec.Struct, omit_defaults=True):
    id: int | None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Fault | msgspec.UnsetType = msgspec.UNSET
    jsonrpc: str = ""


_encode = msgspec.json.Encoder().encode
_decode_call = msgspec.json.Decoder(_Call).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


def encode_call(identifier: int, request: Request[Any]) -> bytes:
    """A request as one line of JSON-RPC."""
    return _encode(_Call(identifier, request.method, msgspec.Raw(_encode(request)))) + b"\n"


def decode_answer(line: bytes, requests: dict[int, Request[Any]]) -> tuple[int, Any]:
    """The id and the reply in a line, its type taken from the request of that id in `requests`.

    The reply is a ControlError (returned, not raised) where the node refused. Raises ControlError
    when the line is no answer to one of them.
    """
    try:
        answer = _decode_answer(line)
        if answer.id is None or answer.id not in requests:
            raise ControlError(f"an answer to no request: {line[:200]!r}", -32600)
        if answer.error is not msgspec.UNSET:
            return answer.id, ControlError(answer.error.message, answer.error.code)
        if answer.result is msgspec.UNSET:
            raise ControlError(f"an answer without a result: {line[:200]!r}", -32600)
        return answer.id, msgspec.json.decode(answer.result, type=requests[answer.id].reply)
    except msgspec.MsgspecError as error:
        raise ControlError(f"not an answer: {error}", -32700) from error


async def answer_line(controls: Controls, line: bytes) -> bytes:
    """Decode one request line, run it, encode the answer. Never raises for a bad line."""
    identifier: int | None = None
    try:
        try:
            call = _decode_call(line)
        except msgspec.ValidationError as error:
            raise ControlError(f"not a request: {error}", -32600) from error
        except msgspec.DecodeError as error:
            raise ControlError(f"not JSON: {error}", -32700) from error
        identifier = call.id
        kind = controls.kind(call.method)
        try:
            request = msgspec.json.decode(call.params, type=kind)
        except msgspec.MsgspecError as error:
            raise ControlError(f"{call.method}: {error}", -32602) from error
        result = await controls(request)
    except ControlError as error:
        return refusal(identifier, error.code, str(error))
    except ServiceError as error:
        return refusal(identifier, -32000, str(error))
    except Exception:  # a bug: the caller hears of it, and the log has the traceback
        log.exception("control request failed: %r", line[:200])
        return refusal(identifier, -32603, "the node failed to answer; its log has the traceback")
    answer = _Answer(identifier, result=msgspec.Raw(_encode(result)), jsonrpc="2.0")
    return _encode(answer) + b"\n"


def refusal(identifier: int | None, code: int, text: str) -> bytes:
    """The line that says no. `code` as ControlError has it."""
    return _encode(_Answer(identifier, error=_Fault(code, text), jsonrpc="2.0")) + b"\n"
