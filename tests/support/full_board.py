"""A board over the lab of that name, with many more messages in a mailbox than it has:
`python -m tests.support.full_board LAB COUNT`. Prints where it is served, as `mxlab board` does."""

import asyncio
import json
import sys

from mxlab.board.board import Board
from mxlab.board.serve import listen, serving
from mxlab.cli.running import attached
from mxlab_services import events
from mxlab_services.events import Event
from tests.support.board_server import TOKEN

BOB = "bob@example.test"


async def main(name: str, count: int) -> None:
    """Serve it until the end."""
    board = Board(name, lambda: attached(name))
    async with serving(board, listen("127.0.0.1", 0), TOKEN) as served:
        assert await board.until_up(60)
        for number in range(count):
            message, digest = f"<{number}@many.test>", f"{number:032x}"
            sender, subject = f"sender{number % 97}@client.test", f"Report {number} of the day"
            bodies = (
                events.Accepted(digest, sender, [BOB], 1000, digest, "127.0.0.1", subject=subject),
                events.MailboxDelivered(digest, BOB, f"{number}.{digest}", digest),
            )
            for body in bodies:
                board.feed.add(Event(1e9 + number, number, "mx1", message, body))
        print(json.dumps({"url": served.root}, indent=2), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
