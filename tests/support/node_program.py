"""`python -m mxlab_services` as a process, with a node's configuration."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab_services import events
from mxlab_services.config import AnyConfig, encode_config
from tests.support.process_lab import subnet

SECONDS = 20  # real seconds for anything here


def configured(folder: Path, node: str) -> AnyConfig:
    world = AddressPlan(
        subnet(), smtp_port=2525, dns_port=5353,
        control=str(folder / "{node}.sock"), data=str(folder / "{node}"),
    )  # fmt: skip
    return make_plan("test", "run", Topology(), world).node(node)


async def spawn(*arguments: str, config: AnyConfig | None = None) -> Process:
    environment = {key: value for key, value in os.environ.items() if key != "MXLAB_CONFIG"}
    if config is not None:
        environment["MXLAB_CONFIG"] = encode_config(config)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )


@asynccontextmanager
async def running(config: AnyConfig) -> AsyncIterator[Process]:
    """A node that has said that it is ready."""
    process = await spawn("mxlab_services", config=config)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while events.decode(await process.stdout.readline()).kind != "node.ready":
                pass
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
