"""Puts the real world out of reach of simulated services: a leak is an error that names its line.

Only code that runs inside a simulated host is guarded, and only calls that the services' own
packages and the SMTP libraries make; the interpreter's own use of a clock (logging's, say) stays.
"""

import contextlib
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from mxlab.backends.sim.loop import LIFE

GUARDED = ("mxlab_services", "aiosmtpd", "aiosmtplib", "dnslib")
_SEAMS: tuple[tuple[Any, str, str], ...] = (
    (time, "time", "the host's clock"),
    (time, "time_ns", "the host's clock"),
    (time, "monotonic", "the host's clock"),
    (time, "sleep", "the host's clock"),
    (os, "urandom", "the host's randomness"),
    (random, "random", "unseeded randomness"),
    (random, "randrange", "unseeded randomness"),
    (random, "shuffle", "unseeded randomness"),
    (random, "choice", "unseeded randomness"),
    (socket.socket, "__init__", "a real socket"),
    (socket, "getfqdn", "the host's name"),
    (threading.Thread, "start", "a thread"),
)


_held = threading.local()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """While this holds, each seam raises SimLeak for guarded code. Within another it adds nothing,
    so that many runs can share one."""
    if getattr(_held, "guard", False):
        yield
        return
    _held.guard = True
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in _SEAMS]
    try:
        for (owner, name, what), (_, _, original) in zip(_SEAMS, kept, strict=True):
            setattr(owner, name, _watch(original, what))
        yield
    finally:
        _held.guard = False
        for owner, name, original in kept:
            setattr(owner, name, original)


def _watch(original: Callable[..., Any], what: str) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        life = LIFE.get()
        if life is not None:
            frame = sys._getframe(1)
            module = frame.f_globals.get("__name__", "")
            if module.partition(".")[0] in GUARDED:
                raise life.loop.leaked(f"{frame.f_code.co_filename}:{frame.f_lineno}", what)
        return original(*args, **kwargs)

    return watched
