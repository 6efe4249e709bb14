"""OpenSMTPD's own tool, inside mx2."""

import asyncio
import re
import subprocess

PATIENCE = 60  # real seconds; a silent host is given up sooner


async def the_route_is_disabled(lab):
    """The log says so, and its flags have a D."""
    async with asyncio.timeout(PATIENCE):
        async for line in lab.logs("mx2", follow=True):
            if "Disabling route" in line:
                break
    assert re.search(r"mx1\.example\.test\) \S*D", await _tool(lab, "show", "routes"))
    assert "0 envelope scheduled" in await _tool(lab, "schedule", "all")


async def schedule(lab):
    assert "4 envelopes scheduled" in await _tool(lab, "schedule", "all")


async def _tool(lab, *words):
    """What the tool prints."""
    whole = lab.nodes["mx2"].exec_command(("smtpctl", *words), interactive=False)
    done = await asyncio.to_thread(subprocess.run, whole, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
