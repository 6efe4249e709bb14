"""Exim's own tools, inside mx2."""

import asyncio
import subprocess


async def an_ordinary_queue_run(lab):
    """As the daemon makes one by itself: it asks the retry database first."""
    await _tool(lab, "exim4", "-q")
    assert await _tool(lab, "exim4", "-bpc") == "4"
    assert "mx1.example.test" in await _tool(lab, "exinext", "bob@example.test")


async def a_forced_queue_run(lab):
    await _tool(lab, "exim4", "-qff")


async def _tool(lab, *command):
    """What the tool prints."""
    whole = lab.nodes["mx2"].exec_command(command, interactive=False)
    done = await asyncio.to_thread(subprocess.run, whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
