"""What the relay's tests begin with."""

from collections.abc import AsyncIterator

import pytest

from tests.support.relay_lab import RelayLab


@pytest.fixture
async def lab() -> AsyncIterator[RelayLab]:
    lab = RelayLab()
    yield lab
    await lab.close()
