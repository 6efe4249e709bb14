"""`python -m mxlab_services`: one node, configured by MXLAB_CONFIG or by the file of --config.

Events go to standard output, a line per write; the log goes to standard error. SIGTERM and SIGINT
stop the node in good order. Exit codes: 0 stopped, 2 the configuration is wrong, 1 all else.
"""

import asyncio
import gc
import logging
import os
import select
import signal
import sys
from pathlib import Path

from mxlab_services.clock import ScaledClock
from mxlab_services.config import AnyConfig, DnsConfig, decode_config
from mxlab_services.control.rpc import Controls
from mxlab_services.control.server import serve
from mxlab_services.errors import ConfigError, ServiceError
from mxlab_services.events import Emitter, Event, encode
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts, Storage, ids_for
from mxlab_services.shortage import Shortage

log = logging.getLogger(__name__)

USAGE = "usage: python -m mxlab_services [--config PATH]   (or the configuration in MXLAB_CONFIG)"
_STDOUT = 1


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
    """Files for an MTA; a DNS server keeps nothing."""
    if isinstance(config, DnsConfig):
        return NoStorage()
    from mxlab_services.storage.files import FileStorage

    return FileStorage(Path(config.data), clock, ids_for(config, clock, "mailboxes"))


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
    server = await serve(controls, config.control)  # before the node says that it is ready
    try:
        parts = Parts(clock, emit, storage_of(config, clock))
        node = await start_node(config, parts, controls)
        gc.freeze()  # what a node is made of stays: later collections need not look at it
        gc.enable()
        await node.stop(await asked)
    finally:
        server.close()
        Path(config.control).unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, at the end


def main(arguments: list[str]) -> int:
    """Run a node; answers the exit code."""
    gc.disable()  # until the node is ready: a start makes no garbage worth looking for
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells each line it reads
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
