"""The errors that services raise.

Mail results are values (see `mxlab_services.types`); exceptions are for operators and bugs::

    ServiceError
    ├── ConfigError (ValueError)      the node's configuration is wrong
    ├── NodeBroken                    the node cannot start, or go on: a product of it ended
    ├── ControlError                  a control request was refused; has a JSON-RPC code
    ├── ZoneError (ValueError)        zone text that is not a zone
    │   └── ZoneTextError             with each wrong line's place
    └── SpoolError (OSError)          the spool cannot promise durability now
        └── SpoolFull                 no space left
"""

from collections.abc import Iterable
from typing import NamedTuple


class ServiceError(Exception):
    """Base of all errors that mxlab_services raises on purpose."""


class ConfigError(ServiceError, ValueError):
    """The node's configuration is wrong; the text says which key and why."""


class NodeBroken(ServiceError):
    """The node cannot start, or go on; the text says why, and what was last told of it."""


class ZoneError(ServiceError, ValueError):
    """Zone text that is not a zone; the text says which line and why."""


class ZoneMistake(NamedTuple):
    """One thing wrong with zone text. `line` and `column` count from 1."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.text}"


class ZoneTextError(ZoneError):
    """Zone text with wrong lines: all of them, in order."""

    def __init__(self, mistakes: Iterable[ZoneMistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("; ".join(str(mistake) for mistake in self.mistakes))


class SpoolError(ServiceError, OSError):
    """The spool cannot make a change durable; the peer is told 451."""


class SpoolFull(SpoolError):
    """The spool's disk is full; the peer is told 452."""


class ControlError(ServiceError):
    """A control request was refused.

    `code` is a JSON-RPC 2.0 error code: -32700 parse, -32600 invalid request, -32601 no such
    method, -32602 invalid params, -32603 internal, -32000 refused by the node.
    """

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.code = code
