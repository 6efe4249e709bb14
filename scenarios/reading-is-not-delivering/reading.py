"""Bob's mail program: Python's imaplib, on the client, over the lab's network."""

import asyncio
import subprocess

LOOK = """
import imaplib, sys
reader = imaplib.IMAP4(sys.argv[1], timeout=5)
reader.login("bob@example.test", "mxlab")
print(reader.select(readonly=True)[1][0].decode())
"""


async def bob_sees_two(lab):
    assert await _seen(lab) == "2"


async def bob_sees_five(lab):
    assert await _seen(lab) == "5"


async def bob_sees_nothing(lab):
    try:
        seen = await _seen(lab)
    except ConnectionError:
        return
    raise AssertionError(f"the server is down, and shows {seen} messages")


async def the_server_stops(lab):
    await lab.imap["imap"].stop()


async def the_server_starts(lab):
    await lab.imap["imap"].start()


async def _seen(lab):
    """How many messages bob's mail program shows. Raises ConnectionError without a server."""
    where = lab.imap["imap"].address
    command = lab.nodes["client"].exec_command(("python3", "-c", LOOK, where), interactive=False)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    if done.returncode:
        raise ConnectionError(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()
