"""Postfix's own tools, inside mx2."""

import asyncio
import json
import subprocess


async def the_second_five_are_suspended(lab):
    """They are the newest; some of the first ten were tried, and have a reason of their own."""
    entries = [json.loads(line) for line in (await _tool(lab, "postqueue", "-j")).splitlines()]
    entries.sort(key=lambda entry: entry["queue_id"])
    reasons = [entry["recipients"][0]["delay_reason"] for entry in entries]
    assert len(reasons) == 15, reasons
    suspended = [reason.startswith("delivery temporarily suspended: ") for reason in reasons]
    assert all(suspended[10:]), reasons
    assert not all(suspended), reasons


async def flush(lab):
    await _tool(lab, "postqueue", "-f")


async def _tool(lab, *command):
    """What the tool prints."""
    whole = lab.nodes["mx2"].exec_command(command, interactive=False)
    done = await asyncio.to_thread(subprocess.run, whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
