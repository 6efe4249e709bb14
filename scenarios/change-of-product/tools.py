"""Postfix's own tool, inside mx2."""

import asyncio
import subprocess


async def flush(lab):
    command = lab.nodes["mx2"].exec_command(("postqueue", "-f"), interactive=False)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
