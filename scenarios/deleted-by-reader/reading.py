"""Bob's mail programs: Python's poplib and imaplib, on the client, over the lab's network."""

import asyncio
import subprocess

FETCH = """
import poplib, sys
reader = poplib.POP3(sys.argv[1], timeout=10)
reader.user("bob@example.test")
reader.pass_("mxlab")
count, _ = reader.stat()
for number in range(1, count + 1):
    reader.retr(number)
    reader.dele(number)
reader.quit()
print(count)
"""
LOOK = """
import imaplib, sys
reader = imaplib.IMAP4(sys.argv[1], timeout=10)
reader.login("bob@example.test", "mxlab")
print(reader.select(readonly=True)[1][0].decode())
"""


async def home_fetches(lab):
    assert await _run(lab, FETCH) == "3"


async def telephone_shows_nothing(lab):
    assert await _run(lab, LOOK) == "0"


async def _run(lab, program):
    """What the program prints; `lab.imap` has the servers by name."""
    where = lab.imap["imap"].address
    command = lab.nodes["client"].exec_command(("python3", "-c", program, where), interactive=False)
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
