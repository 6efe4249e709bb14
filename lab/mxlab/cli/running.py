"""Runs a command's work, and finds labs and nodes for it."""

import contextlib
import contextvars
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mxlab.backends.registry import (
    LASTING,
    QUICK_FIRST,
    backend_named,
    find_labs,
    first_here,
    known,
)
from mxlab.cli.output import note, stamp
from mxlab.errors import NoEngine, NotUp, UnknownName, UsageError
from mxlab.visible import visible_text

if TYPE_CHECKING:
    from mxlab.backends.base import Backend, ImapServer, Lab, Node, Progress
    from mxlab.backends.real.remains import Source

T = TypeVar("T")
N = TypeVar("N")

# The lab on which a program types the command, in place of those that can be found.
HANDS: "contextvars.ContextVar[Lab | None]" = contextvars.ContextVar("mxlab_hands", default=None)


class Handed(Exception):
    """A command's work, on its way to who types the command inside a running loop: `cli.hands`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.coroutine = coroutine


def work(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. SIGTERM and SIGHUP interrupt it as Ctrl-C does: it undoes, then stops.

    Raises Handed where a program types the command: what a command does after this is not done
    then.
    """
    if HANDS.get() is not None:
        raise Handed(coroutine)
    import asyncio

    log_visibly()

    async def heeding() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        return asyncio.run(heeding())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def log_visibly() -> None:
    """Let what goes to the log of no handler, on standard error, go through `visible_text`."""
    import logging

    class Visibly(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return visible_text(super().format(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Visibly())


async def choose_backend(name: str, progress: "Progress") -> "Backend":
    """The backend of that name that keeps labs; for `auto` the first that can be had here, with a
    word why not those before. Raises UnknownName."""
    names = LASTING if name == "auto" else (known(name, ("auto", *LASTING)).name,)
    backend, reason = await first_here(names, progress)
    tell_choice(backend, reason)
    return backend


def tell_choice(backend: "Backend", reason: str) -> None:
    """Say, where there is a `reason` for it, why this backend and none before it."""
    if reason:
        note(f"mxlab: {known(backend.name).meaning}, because {reason}")


@contextlib.asynccontextmanager
async def attached(lab: str) -> AsyncIterator["Lab"]:
    """The lab of that name, in whatever world it is; where a program types the command, the lab
    that it types it on. Raises NotUp, which names those that are."""
    if (at_hand := HANDS.get()) is not None:
        yield at_hand
        return
    found, unseen = await _backend_of(lab)
    if found is None:
        raise await _not_up(lab, unseen)
    async with found.attach(lab) as running:
        yield running


async def is_up(lab: str) -> bool:
    """Whether a lab of that name, or what is left of one, is there already."""
    found, _ = await _backend_of(lab)
    return found is not None


async def _backend_of(lab: str) -> "tuple[Backend | None, str]":
    unseen = ""
    for name in QUICK_FIRST:
        backend = backend_named(name)
        try:
            if any(found.lab == lab for found in await backend.find()):
                return backend, ""
        except NoEngine as error:
            unseen = str(error)
    return None, unseen


async def _not_up(lab: str, unseen: str) -> NotUp:
    labs, _ = await find_labs()
    text = f"no lab called {lab!r} is up" + (f" ({unseen})" if unseen else "")
    if not labs:
        return NotUp(text, "`mxlab up` brings one up")
    return NotUp(text, UnknownName("lab", lab, [found.lab for found in labs]).hint)


def check_address(address: str) -> None:
    """Raise UsageError, with the rule, for what is no address."""
    from mxlab_services.address import problem_of

    if wrong := problem_of(address):
        raise UsageError(f"{address[:80]!r} is no mail address: {wrong.text}")


def machine_called(lab: "Lab", name: str) -> "Node | ImapServer":
    """A node, or an IMAP server that stands beside them. Raises UnknownName."""
    beside = imap_servers(lab)
    if name not in lab.nodes and name in beside:
        return beside[name]
    if name not in lab.nodes:
        raise UnknownName("node", name, (*lab.nodes, *beside))
    return lab.nodes[name]


def imap_servers(lab: "Lab") -> "Mapping[str, ImapServer]":
    """The lab's IMAP servers by name; none where its world has none."""
    from mxlab.backends.base import HasImap

    return lab.imap if isinstance(lab, HasImap) else {}


async def sources(
    stack: contextlib.AsyncExitStack, lab: "Lab", nodes: "list[Node]", part: str
) -> "list[Source]":
    """The nodes, and for those that are down what they left of this part of their disk, with a word
    on standard error that it is so. `stack` lets go of them."""
    import asyncio

    from mxlab.backends.real.remains import source_of

    opened = [source_of(node, lab.clock, part) for node in nodes]
    found = await asyncio.gather(*(stack.enter_async_context(source) for source in opened))
    for source in found:
        if source.is_down:
            name = source.config.node
            since = "" if source.ended is None else f", when it last spoke at {stamp(source.ended)}"
            note(f"mxlab: {name} is stopped: this is its disk as it was left{since}")
    return found
