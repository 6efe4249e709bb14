"""`python -m mxlab_services`: one node, configured by MXLAB_CONFIG or by the file of --config.

Events go to standard output, a line per write; the log goes to standard error. SIGTERM and SIGINT
stop the node in good order. Exit codes: 0 stopped, 2 the configuration is wrong, 1 all else.
"""

import asyncio
import contextlib
import gc
import logging
import os
import select
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from mxlab_services.clock import ScaledClock
from mxlab_services.config import AnyConfig, DnsConfig, MtaConfig, PeerConfig, decode_config
from mxlab_services.control.requests import Begin, Erase
from mxlab_services.control.rpc import Controls
from mxlab_services.control.server import bequeath, serve
from mxlab_services.errors import ConfigError, NodeBroken, ServiceError
from mxlab_services.events import Emitter, Event, NodeErased, encode
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts, Storage, ids_for
from mxlab_services.shortage import Shortage

log = logging.getLogger(__name__)

USAGE = "usage: python -m mxlab_services [--config PATH]   (or the configuration in MXLAB_CONFIG)"
_STDOUT = 1
_ERASED = "MXLAB_ERASED"  # in the environment of a program that follows itself
_BEGIN_SECONDS = 10.0  # that it waits to be told to begin


def read_config(arguments: list[str]) -> AnyConfig:
    """The configuration that the command line or the environment gives. Raises ConfigError."""
    match arguments:
        case []:
            text = os.environ.get("MXLAB_CONFIG", "")
            if not text:
                raise ConfigError(f"no configuration; {USAGE}")
        case ["--config", path]:
            try:
                text = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"configuration: {path}: {error}") from error
        case _:
            raise ConfigError(USAGE)
    return decode_config(text)


class EventWriter:
    """One event, one line, one write, so that a killed node leaves whole lines.

    Mail goes on when nobody reads the events any more; the log says so, once.
    """

    def __init__(self) -> None:
        self._heard = True

    def __call__(self, event: Event) -> None:
        line = encode(event) if self._heard else b""
        while line:
            try:
                line = line[os.write(_STDOUT, line) :]
            except BlockingIOError:  # whoever made the pipe left it so: wait for room
                select.select([], [_STDOUT], [])
            except BrokenPipeError:
                self._heard = False
                log.warning("nobody reads the events any more")
                return


def storage_of(config: AnyConfig, clock: ScaledClock) -> Storage:
    """Files for an MTA; a DNS server and a scripted one keep nothing."""
    if isinstance(config, DnsConfig | PeerConfig):
        return NoStorage()
    from mxlab_services.storage.files import FileStorage

    return FileStorage(Path(config.data), clock, ids_for(config, clock, "mailboxes"))


class _Anew:
    """A node that begins anew: this program put in its own place, with nothing but the listening
    control socket of the one before it."""

    def __init__(self, controls: Controls) -> None:
        given = os.environ.pop(_ERASED, "")
        self.inherited = int(given) if given else None
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin = asyncio.Event()
        self._ready = asyncio.Event()
        controls.add(Erase, self._erase)
        controls.add(Begin, self._begun)

    async def wait_to_begin(self, config: AnyConfig, emit: Emitter) -> None:
        """Lose what is left of the life before, and wait for the others to have done so."""
        if not isinstance(config, DnsConfig | PeerConfig):
            await asyncio.to_thread(_empty, Path(config.data))
        emit(NodeErased())
        with contextlib.suppress(TimeoutError):  # who asked is gone: serve all the same
            await asyncio.wait_for(self._begin.wait(), _BEGIN_SECONDS)

    def ready(self) -> None:
        self._ready.set()

    def follow(self, server: asyncio.Server) -> NoReturn:
        """Become the program that comes after this one."""
        os.environ[_ERASED] = str(bequeath(server))
        os.execv(sys.executable, sys.orig_argv)

    async def _erase(self, _: Erase) -> bool:
        if not self.asked.done():  # once the reply is written: that is done before the next turn
            asyncio.get_running_loop().call_soon(self.asked.set_result, None)
        return True

    async def _begun(self, _: Begin) -> bool:
        if self.asked.done():  # not this life, but the next one is meant: its connection ends now
            await asyncio.get_running_loop().create_future()
        self._begin.set()
        await self._ready.wait()
        return True


def _empty(folder: Path) -> None:
    """Remove all that is in it. Raises OSError."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


async def run(config: AnyConfig) -> None:
    """Run the node until it is asked to stop."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[str] = loop.create_future()

    def ask(name: str) -> None:
        if not asked.done():
            asked.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number.name)
    clock = ScaledClock(config.time.scale, config.time.epoch)
    emit = Emitter(config.node, clock, EventWriter())
    loop.set_exception_handler(Shortage(emit))
    controls = Controls()
    anew = _Anew(controls)
    # Before the node says that it is ready.
    server = await serve(controls, config.control, anew.inherited)
    try:
        if anew.inherited is not None:
            await anew.wait_to_begin(config, emit)
        parts = Parts(clock, emit, storage_of(config, clock))
        node = await start_node(config, parts, controls)
        gc.freeze()  # what a node is made of stays: later collections need not look at it
        gc.enable()
        anew.ready()
        ends: list[asyncio.Future[Any]] = [asked, anew.asked]
        ends += [] if node.failure is None else [node.failure]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if anew.asked.done() and not asked.done():
            if isinstance(config, MtaConfig) and config.software != "mxlab":
                await node.stop("erased")  # the product must not outlive its queue
            anew.follow(server)
        await node.stop(asked.result() if asked.done() else None)
        if not asked.done():
            raise NodeBroken(ends[-1].result())
    finally:
        server.close()
        Path(config.control).unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, at the end


def main(arguments: list[str]) -> int:
    """Run a node; returns the exit code."""
    gc.disable()  # until the node is ready: a start makes no garbage worth looking for
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        config = read_config(arguments)
        asyncio.run(run(config))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (ServiceError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
