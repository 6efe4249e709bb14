"""A sender at an even pace: `python -m tests.support.paced_sender HOST PORT RATE SECONDS`.

Over kept connections, each message by itself; prints how many were taken, and in how many seconds.
"""

import asyncio
import sys
import time

CONNECTIONS = 20


async def main(host: str, port: int, rate: float, seconds: float) -> None:
    """Send, and tell."""
    begin, count = time.monotonic(), int(rate * seconds)
    shares = [range(first, count, CONNECTIONS) for first in range(CONNECTIONS)]
    taken = await asyncio.gather(
        *(_session(host, port, begin, rate, share, count) for share in shares)
    )
    print(sum(taken), time.monotonic() - begin)


async def _session(
    host: str, port: int, begin: float, rate: float, numbers: range, count: int
) -> int:
    reader, writer = await asyncio.open_connection(host, port)

    async def reply() -> bytes:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        return line

    await reply()
    writer.write(b"EHLO pace.client.test\r\n")
    await reply()
    taken = 0
    for number in numbers:
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        writer.write(b"MAIL FROM:<pace@client.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
        for _ in range(3):
            await reply()
        writer.write(
            f"Subject: {number} of {count}\r\nMessage-ID: <{number}.{count}@pace.test>\r\n\r\n"
            "so it is\r\n.\r\n".encode()
        )
        taken += (await reply()).startswith(b"250")
    writer.close()
    return taken


if __name__ == "__main__":
    HOST, PORT, PACE, LENGTH = sys.argv[1:]
    asyncio.run(main(HOST, int(PORT), float(PACE), float(LENGTH)))
