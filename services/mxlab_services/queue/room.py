"""So many bytes at a time: who needs more than is free waits, first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Room for `most` bytes. What is larger than all of it gets in alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Within, `size` bytes are taken; 0 never waits."""
        if size:
            await self._enter(size)
        try:
            yield
        finally:
            self._taken -= size
            self._admit()

    async def _enter(self, size: int) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, place))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was let in, and will not come
                self._taken -= size
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting:
            size, place = self._waiting[0]
            if not place.cancelled():
                if self._taken and self._taken + size > self._most:
                    return
                self._taken += size
                place.set_result(None)
            self._waiting.popleft()
