"""The errors that services raise.

Mail results are values (see `mxlab_services.types`); exceptions are for operators and bugs::

    ServiceError
    ├── ConfigError (ValueError)      the node's configuration is wrong
    ├── ControlError                  a control request was refused; has a JSON-RPC code
    ├── ZoneError (ValueError)        zone text that is not a zone
    └── SpoolError (OSError)          the spool cannot promise durability now
        └── SpoolFull                 no space left
"""


class ServiceError(Exception):
    """Base of all errors that mxlab_services raises on purpose."""


class ConfigError(ServiceError, ValueError):
    """The node's configuration is wrong; the text says which key and why."""


class ZoneError(ServiceError, ValueError):
    """Zone text that is not a zone; the text says which line and why."""


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
