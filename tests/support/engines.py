"""Docker engines of our own, each in a network namespace: hosts of a Swarm on one machine (root).

A bridge in a namespace of its own is the switch, a veth a cable. `nsenter` and not `ip netns exec`,
which mounts a fresh /sys without the cgroups. Everything is ended and removed in the end.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import docker

SWITCH = "mxlab-switch"
READY = 30.0  # real seconds for an engine to answer
ENDED = 20.0  # real seconds for its processes to end
NEEDED = ("dockerd", "ip", "nsenter", "unshare")


def problem() -> str:
    """Why there can be no engines here; empty where there can."""
    if os.geteuid() != 0:
        return "engines in namespaces need root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"no {missing[0]} here" if missing else ""


@dataclass(slots=True)
class EngineHost:
    """One host: its number, from 1, and where it keeps what."""

    number: int
    folder: Path
    running: "subprocess.Popen[bytes] | None" = None
    clients: list[docker.DockerClient] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"mxlab-host{self.number}"

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def client(self) -> docker.DockerClient:
        """A connection to the engine."""
        made = docker.DockerClient(base_url=self.url, timeout=60)
        self.clients.append(made)
        return made

    def start(self) -> None:
        """Start the engine, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "daemon.json").write_text("{}")
        place = self.folder
        words = (
            f"hostname {self.name}; exec dockerd --config-file {place}/daemon.json"
            f" --data-root {place}/data --exec-root {place}/exec --pidfile {place}/docker.pid"
            f" --host {self.url} --storage-driver overlay2 --cgroup-parent /{self.name}"
            f" --bip 10.200.{self.number}.1/24"
        )
        inside = ("nsenter", f"--net=/run/netns/{self.name}", "unshare", "--uts", "--")
        with (place / "dockerd.log").open("ab") as log:
            self.running = subprocess.Popen(
                (*inside, "sh", "-c", words), stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            with contextlib.suppress(docker.errors.DockerException, OSError):
                if self.client().ping():
                    return
            assert self.running is not None
            assert self.running.poll() is None, (self.folder / "dockerd.log").read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError(f"{self.name} does not answer after {READY:.0f} s")

    def kill(self) -> None:
        """As a power failure: the engine, and all of its containers, at once."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self.running = None
        deadline = time.monotonic() + ENDED
        while processes := self._processes():
            assert time.monotonic() < deadline, f"{self.name} does not end: {processes}"
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def _processes(self) -> list[int]:
        """The engine's own, told by its folder, and those of its containers, by their cgroup."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (place / "cmdline").read_bytes()
                group = (place / "cgroup").read_text()
                ours = str(self.folder).encode() in command and b"dockerd" in command
                ours |= f"{self.folder}/exec".encode() in command
                if (ours or f"/{self.name}/" in group) and (place / "stat").read_text().split(") ")[
                    1
                ][0] != "Z":
                    found.append(int(place.name))
        return found

    def cable(self, plugged: bool) -> None:
        """Pull the cable, or put it back."""
        _ip("-n", SWITCH, "link", "set", f"mxhost{self.number}", "up" if plugged else "down")


class Engines:
    """Hosts with an engine each, started on entry and gone on exit."""

    def __init__(self, folder: Path, count: int) -> None:
        self.hosts = [EngineHost(n, folder / f"host{n}") for n in range(1, count + 1)]

    def __enter__(self) -> "Engines":
        try:
            self._lay_cables()
            for host in self.hosts:
                host.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _lay_cables(self) -> None:
        _ip("netns", "add", SWITCH)
        _ip("-n", SWITCH, "link", "add", "switch", "type", "bridge")
        _ip("-n", SWITCH, "link", "set", "switch", "up")
        for host in self.hosts:
            port = f"mxhost{host.number}"
            _ip("netns", "add", host.name)
            _ip(
                *("link", "add", port, "netns", SWITCH, "type", "veth"),
                *("peer", "name", "eth0", "netns", host.name),
            )
            _ip("-n", SWITCH, "link", "set", port, "master", "switch")
            _ip("-n", SWITCH, "link", "set", port, "up")
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", host.name, "link", "set", device, "up")

    def _remove(self) -> None:
        for host in self.hosts:
            host.kill()
            for mounted in _mounts(host.folder):
                subprocess.run(("umount", "--lazy", mounted), check=False, capture_output=True)
            for group in Path("/sys/fs/cgroup").glob(f"*/{host.name}"):
                _remove_group(group)
            _remove_group(Path("/sys/fs/cgroup") / host.name)
            shutil.rmtree(host.folder, ignore_errors=True)
        for name in (*(host.name for host in self.hosts), SWITCH):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)

    def swarm(self) -> None:
        """All of them one Swarm, the first its manager."""
        first, *others = self.hosts
        manager = first.client()
        manager.swarm.init(
            advertise_addr=first.address,
            listen_addr=f"{first.address}:2377",
            data_path_addr=first.address,
        )
        token = manager.swarm.attrs["JoinTokens"]["Worker"]
        for host in others:
            host.client().swarm.join(
                remote_addrs=[f"{first.address}:2377"],
                join_token=token,
                listen_addr=f"{host.address}:2377",
                advertise_addr=host.address,
                data_path_addr=host.address,
            )

    def load(self, archive: Path) -> None:
        """An image, from its archive, into each engine."""
        for host in self.hosts:
            with archive.open("rb") as content:
                host.client().images.load(content)


def _ip(*words: str) -> None:
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"


def _mounts(folder: Path) -> Iterator[str]:
    """What is mounted below it, the innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    places = [line.split()[1] for line in lines]
    return iter(sorted((p for p in places if p.startswith(f"{folder}/")), reverse=True))


def _remove_group(group: Path) -> None:
    for place in sorted(group.rglob("*/"), reverse=True):
        with contextlib.suppress(OSError):
            place.rmdir()
    with contextlib.suppress(OSError):
        group.rmdir()
