"""What the API can be asked: each operation declared once, with what it takes and what it returns.

Server and OpenAPI document are made from it. What an operation takes is one struct: its fields are
those in the path, and beside them, of GET and DELETE, the query, of the others the JSON body.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
BoardKind = Literal["lab", "replay"]  # what a board can be of
PREFIX = "/api/v1"
A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation that takes nothing."""


class RawReply(msgspec.Struct, frozen=True):
    """A reply that is no JSON: bytes of that media type, under a policy where it needs one."""

    content: bytes
    media_type: str
    headers: dict[str, str] = {}


class OperationHandler(Protocol[A_contra, R_co]):
    """What carries an operation out, on a board (`mxlab.board.board.Board`)."""

    def __call__(self, board: Any, asked: A_contra, /) -> Awaitable[R_co]: ...


@dataclass(frozen=True, slots=True)
class Operation(Generic[A, R]):
    """One operation. `path` is below PREFIX; `media_types`: of a reply that is no JSON; `of`: what
    it can be asked of."""

    method: Method
    path: str
    group: str
    name: str
    summary: str
    asks: type[A]
    replies: Any
    handler: OperationHandler[A, R]
    media_types: tuple[str, ...] = ()
    of: tuple[BoardKind, ...] = ("lab",)

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields that stand in the path."""
        parts = (part for part in self.path.split("/") if part.startswith("{"))
        return tuple(part.strip("{}") for part in parts)

    @property
    def has_body(self) -> bool:
        """Whether what it takes beside its path comes as JSON."""
        beside = {f.encode_name for f in msgspec.structs.fields(self.asks)} - {*self.in_path}
        return self.method in ("POST", "PUT", "PATCH") and bool(beside)


class OperationGroup:
    """Operations of one subject, in the order declared."""

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about = name, about
        self._operations: list[Operation[Any, Any]] = []

    def __iter__(self) -> Iterator[Operation[Any, Any]]:
        return iter(self._operations)

    def operation(
        self,
        method: Method,
        path: str,
        asks: type[A],
        replies: Any,
        *,
        media_types: tuple[str, ...] = (),
        of: tuple[BoardKind, ...] | None = None,
    ) -> Callable[[OperationHandler[A, R]], OperationHandler[A, R]]:
        """Declare the function below as an operation; the first line of its docstring says what it
        does. `of`: unless said, what only reads can be asked of a replay, too."""
        kinds = of or (("lab", "replay") if method == "GET" else ("lab",))

        def declared(handler: OperationHandler[A, R]) -> OperationHandler[A, R]:
            name = handler.__name__  # type: ignore[attr-defined]
            summary = " ".join((handler.__doc__ or "").split("\n\n")[0].split())
            self._operations.append(
                Operation(
                    method,
                    path,
                    self.name,
                    name,
                    summary,
                    asks,
                    replies,
                    handler,
                    media_types,
                    kinds,
                )
            )
            return handler

        return declared
