"""What becomes of a listener that cannot accept: all files that the process may open are open.

asyncio lets the listener rest a second and tries again, and tells the loop's exception handler, up
to a hundred times each time. Here it is told as one event, until there were files enough for a
while; sessions that are open go on.
"""

import asyncio
import errno
import logging
import resource
from typing import Any

from mxlab_services.events import Emit, OutOfFiles

log = logging.getLogger(__name__)

QUIET = 30.0  # real seconds without a shortage, after which the next one is news
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # as asyncio has it


class Shortage:
    """An event loop's exception handler."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._last = -QUIET

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _SHORT and "accept" in context["message"]:
            self._short(loop.time(), error, context.get("socket"))
        elif isinstance(error, ValueError) and "_start_serving" in repr(context.get("handle")):
            log.debug("a listener was closed while it rested")
        else:
            loop.default_exception_handler(context)

    def _short(self, now: float, error: OSError, listener: Any) -> None:
        last, self._last = self._last, now
        if now - last < QUIET:
            return
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        where = _name(listener)
        log.warning("%s accepts nothing for a moment: %s (limit %d)", where, error.strerror, limit)
        self._emit(OutOfFiles(where, limit, error.strerror or ""))


def _name(listener: Any) -> str:
    """Where a socket listens, as NodeReady has it; for a Unix socket, its path."""
    name = listener.getsockname() if listener is not None else ""
    return "tcp:{}:{}".format(*name[:2]) if isinstance(name, tuple) else str(name)
