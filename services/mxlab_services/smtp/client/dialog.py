"""A conversation as a sender writes it down: its lines, when each was said or read, and the TCP
connections that it went over."""

import asyncio
from collections.abc import Iterable

from mxlab_services.events import OpenedConnection


class Dialog(list[str]):
    """The lines, `C: ` or `S: ` in front. For each of them `times` has the real seconds since this
    was made; `connections` are in the order in which they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.connections: list[OpenedConnection] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def append(self, line: str) -> None:
        self.times.append(round(self._loop.time() - self._began, 6))
        super().append(line)

    def extend(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.append(line)

    def __iadd__(self, lines: Iterable[str]) -> "Dialog":  # type: ignore[misc,override]
        self.extend(lines)
        return self

    def over(self, own: int, port: int) -> None:
        """What follows goes from our port `own` to the server's `port`. 0: no connection came to
        be."""
        self.connections.append(OpenedConnection(own, port))

    def was_reset(self) -> None:
        """The peer did not close the last connection, but reset it."""
        if self.connections:
            last = self.connections[-1]
            self.connections[-1] = OpenedConnection(last.own, last.port, reset=True)
