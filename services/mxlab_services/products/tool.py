"""Runs a product's own tools, as its operator would."""

import asyncio
from collections.abc import Mapping, Sequence

from mxlab_services.products.base import ToolFailed

SECONDS = 30.0  # real seconds that a tool may take
_KEPT = 500  # bytes of what it wrote that an error shows


async def run_tool(
    command: Sequence[str],
    given: bytes = b"",
    *,
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
) -> tuple[int, bytes]:
    """Run a program to its end with `given` as its standard input; its exit code and its standard
    output. Raises ToolFailed for a code that is not in `accept`, and for a tool that is not there
    or does not end."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment) if environment is not None else None,
            # SIGPIPE stays ignored, as servers have it: a postkick whose peer is quick dies of it.
            restore_signals=False,
        )
    except OSError as error:
        raise ToolFailed(f"{command[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(SECONDS):
            written, errors = await process.communicate(given)
    except TimeoutError:
        raise ToolFailed(f"{command[0]} did not end within {SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in accept:
        said = (errors or written)[-_KEPT:].decode("utf-8", "replace").strip()
        raise ToolFailed(f"{command[0]}: exit code {process.returncode}: {said}")
    return process.returncode or 0, written
