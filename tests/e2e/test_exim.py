"""Exim in containers: the outage with it in each role, its own tools, and what it makes of the
files that we render.

::

    client ──> mx1 (dead)
       └─────> mx2 = exim: queue, hold, release, delete, expire, flush, as `postsuper` would
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from mxlab.api import build as api
from mxlab.api.pytest_lab import topology_of
from mxlab.api.running_lab import RunningLab
from mxlab.api.testing import LabDesk
from mxlab.backends.base import CanExec
from mxlab.backends.docker import DockerBackend
from mxlab.errors import Refused
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, QueueEdit, QueueFlush, Stats
from mxlab_services.storage.maildir import folder_of

pytestmark = [pytest.mark.docker, pytest.mark.long]

SHAPE = {
    "domain": "example.test",
    "mx": [
        {"host": "mx1", "preference": 10, "software": "exim"},
        {"host": "mx2", "preference": 20, "software": "exim"},
    ],
}


@pytest.fixture(scope="module", name="running")
def _running() -> Iterator[RunningLab]:
    topology, _ = topology_of({"topology": SHAPE})
    lab = RunningLab(DockerBackend(), f"exim-tools-{os.getpid()}", topology)
    lab.start()
    yield lab
    lab.stop()


def inside(running: RunningLab, host: str, *command: str) -> str:
    """What it writes, as a student sees it."""
    node = running.lab.nodes[host]
    assert isinstance(node, CanExec)
    done = subprocess.run(
        node.exec_command(command, interactive=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.stdout.decode()


def test_it_takes_the_files_that_we_render(running: RunningLab) -> None:
    for host in ("mx1", "mx2"):
        assert "Exim version 4" in inside(running, host, "exim4", "-bV")
        assert "error" not in inside(running, host, "exim4", "-bP", "transports")
    routed = inside(running, "mx1", "exim4", "-bt", "bob@example.test")
    assert "router = mailboxes, transport = mailboxes" in routed
    assert "mx1.example.test" in inside(running, "mx2", "exim4", "-bt", "bob@example.test")


@pytest.mark.parametrize(
    "local_part", ["Bob", "a.b/c%d", '"a b"', '"a\\"b:c"', "b\u00e4b", "x+tag", "'~^`{|}!#$&*=?"]
)
def test_mail_lies_where_the_lab_looks_for_it(running: RunningLab, local_part: str) -> None:
    desk = LabDesk(running)
    address = f"{local_part}@example.test"
    batch = desk.send(address)
    desk.eventually(api.delivered(batch))

    def there() -> list[MailboxEntry]:
        asked = MailboxList(address)
        return running.call(running.lab.nodes["mx1"].request(asked))

    assert len(desk.eventually(there) or ()) == 1
    assert folder_of(there()[0].address)
    desk.close()


def test_the_queue_is_held_released_expired_and_deleted(running: RunningLab) -> None:
    desk = LabDesk(running)
    mx2 = running.lab.nodes["mx2"]

    def states() -> dict[str, str]:
        return {entry.queue_id: entry.queue_name for entry in desk.queue("mx2")}

    with desk.fault("kill", "mx1"):
        batch = desk.send(count=4)
        desk.eventually(api.deferred(batch), within="1m")
        held, expired, deleted, _ = states()
        assert running.call(mx2.request(QueueEdit("hold", [held]))) == 1
        assert states()[held] == "hold"
        assert "frozen" in inside(running, "mx2", "exim4", "-bp")
        running.call(mx2.request(QueueEdit("expire", [expired])))
        desk.eventually(lambda: expired not in states())
        running.call(mx2.request(QueueEdit("delete", [deleted])))
        desk.eventually(lambda: deleted not in states())
    assert running.call(mx2.request(QueueFlush())) == 1
    desk.eventually(lambda: list(states()) == [held], within="1m")
    running.call(mx2.request(QueueEdit("release", [held])))
    with contextlib.suppress(Refused):  # a run of the queue, one a second, may have been quicker
        running.call(mx2.request(QueueFlush(queue_id=held)))
    desk.eventually(lambda: not states(), within="1m")
    assert len(desk.mailbox()) == 2
    assert running.call(mx2.request(Stats()))["log-lines-not-understood"] == 0
    desk.close()
