"""The server of a node's control requests on a Unix socket."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from mxlab_services.control.rpc import MAX_LINE, Controls, answer_line, refusal


async def serve(controls: Controls, path: str, inherited: int | None = None) -> asyncio.Server:
    """Answer requests on the Unix socket at `path`, mode 0600, replacing a stale one; or on the one
    that listens already, of the program that this one follows (`inherited`: its descriptor)."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: set[asyncio.Task[None]] = set()

        async def answer(line: bytes) -> None:
            writer.write(await answer_line(controls, line))
            with contextlib.suppress(ConnectionError):
                await writer.drain()

        try:
            while line := await reader.readline():
                task = asyncio.create_task(answer(line))
                running.add(task)
                task.add_done_callback(running.discard)
            if running:  # who has sent everything may still read
                await asyncio.wait(running)
        except ValueError:  # a line longer than MAX_LINE
            writer.write(refusal(None, -32600, f"a request longer than {MAX_LINE} bytes"))
        except (ConnectionError, asyncio.CancelledError):
            pass  # the peer is gone, or the node stops: asyncio would log it (before Python 3.12)
        finally:
            writer.close()

    if inherited is not None:
        listening = socket.socket(fileno=inherited)
        return await asyncio.start_unix_server(converse, sock=listening, limit=MAX_LINE)
    Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, before anything runs
    server = await asyncio.start_unix_server(converse, path, limit=MAX_LINE)
    Path(path).chmod(0o600)  # noqa: ASYNC240 - likewise
    return server


def bequeath(server: asyncio.Server) -> int:
    """The descriptor of the listening socket, for the program that follows this one: who connects
    from now on waits for that. The server accepts nothing more."""
    descriptor = os.dup(server.sockets[0].fileno())
    os.set_inheritable(descriptor, True)
    server.close()
    return descriptor
