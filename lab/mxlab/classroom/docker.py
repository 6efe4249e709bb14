"""A class on one Docker engine: a container a seat, each in a network of its own with the server.

Guarantee: a class is up whole or not at all; `down` leaves nothing. What a seat reaches is the
class server: its network has no way out, and not even the engine's host has an address in it.

Long: what is asked of one engine for a class, and what each container of it looks like.
"""

import asyncio
import contextlib
import io
import ipaddress
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from mxlab.backends.base import Progress, Removal
from mxlab.backends.docker.engine import Engine, EngineRefused, connect
from mxlab.backends.docker.imaging import ImageStore
from mxlab.backends.docker.make import is_local, taken_subnets
from mxlab.backends.docker.shape import LOG_OPTIONS, SECURITY, SYSCTLS, UID
from mxlab.backends.docker.subnets import Network, Taken, clash_error
from mxlab.backends.docker.sweep import (
    CONFLICT,
    Thing,
    labelled,
    labelled_containers,
    sweep,
    uninterrupted,
)
from mxlab.backends.process.space import subnets_for
from mxlab.board.serve import listen
from mxlab.classroom.image import ensure_seat
from mxlab.classroom.plan import ClassPlan, SeatPlan, write_plan
from mxlab.errors import AlreadyUp, EnvironmentProblem, LabError, NotUp, first_of_group
from mxlab.names import check_lab_name
from mxlab.plan.space import FIRST as FIRST_HOST

CLASS, PART, SEAT = "mxlab.class", "mxlab.class.part", "mxlab.class.seat"
SERVER_PORT = 8000  # of the class server in its container
PLAN = "/data/class.json"
LAB_FOLDER = "/run/mxlab/mxlab/lab"  # in a seat: see its image
AT_ONCE = 4  # seats that are made at a time
REST, SERVER_REST = 95, 150  # MB at rest: of a seat, of the class server
BLOCKS = ("10.84.0.0/16", "172.30.0.0/16", "192.168.128.0/18")
WIDTH = 29  # of a seat's network: itself and the class server
_OWN = f"uid={UID},gid={UID},nosuid,nodev"
SEAT_TMPFS = {
    "/run/mxlab": f"size=32m,mode=0700,{_OWN}",
    "/tmp": f"size=16m,mode=0700,{_OWN}",
    "/home/mxlab": f"size=16m,mode=0700,{_OWN}",
}
SEAT_MEMORY, SEAT_PIDS, SEAT_CPUS = "384m", 150, 1_000_000_000
_NO_MASQUERADE = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
_NO_HOST = {"com.docker.network.bridge.inhibit_ipv4": "true"}


@contextlib.asynccontextmanager
async def class_engine() -> AsyncIterator["ClassEngine"]:
    """The current engine. Raises NoEngine."""
    engine = await connect()
    try:
        yield ClassEngine(engine)
    finally:
        engine.close()


class ClassEngine:
    """Classes on an engine. Methods raise LabErrors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def host(self) -> str:
        """Where a published port of the engine is reached from here."""
        if is_local(self._engine):
            return "127.0.0.1"
        place = self._engine.endpoint.url.partition("://")[2].rpartition("@")[2]
        return place.partition("/")[0].partition(":")[0]

    async def check(self, plan: ClassPlan) -> None:
        """Before anything is made: raises AlreadyUp, EnvironmentProblem for too little memory (with
        numbers) or a port that is taken."""
        left = await labelled(self._engine, f"{CLASS}={plan.name}")
        if left:
            raise AlreadyUp(
                f"a class called {plan.name!r} is up, or something is left of it",
                f"`mxlab class down {plan.name}` removes it; or give this one another name",
            )
        info = await self._engine.call("tell its size", lambda api: api.info())
        total = int(info["MemTotal"]) // 1_000_000
        free = available() if is_local(self._engine) else total
        check_memory(len(plan.seats), min(free, total), total)
        if is_local(self._engine):
            listen("0.0.0.0", plan.port).close()

    async def image(self, progress: Progress) -> str:
        """The name of the seats' image, built if need be. Raises NoImage."""
        return await ensure_seat(ImageStore(self._engine), progress)

    async def up(self, plan: ClassPlan, image: str, begin: str, progress: Progress) -> None:
        """Make and start all of it; what failed is gone before its error is raised. `begin`: the
        exercise with which the seats begin."""
        try:
            progress("creating the networks")
            await self._make_networks(plan)
            progress("starting the class server")
            await self._make_server(plan, image)
            progress("starting the seats")
            limit = asyncio.Semaphore(AT_ONCE)

            async def one(seat: SeatPlan) -> None:
                async with limit:
                    await self._make_seat(plan, seat, image, begin)

            with first_of_group(LabError):
                async with asyncio.TaskGroup() as group:
                    for seat in plan.seats:
                        group.create_task(one(seat))
        except BaseException:
            await uninterrupted(self._undo(plan.name))
            raise

    async def _undo(self, name: str) -> None:
        await self._engine.settle()
        await self.down(name)

    async def down(self, name: str) -> Removal:
        """Remove all of a class; see `sweep`."""
        check_lab_name(name, "class")
        return await sweep(self._engine, f"{CLASS}={name}")

    async def names(self) -> list[str]:
        """The classes that there are."""
        things = await labelled(self._engine, CLASS)
        return sorted({thing.labels[CLASS] for thing in things})

    async def plan(self, name: str) -> ClassPlan:
        """The class as it was planned. Raises NotUp, which names those that are."""
        server = await self._server(name)

        def work(api: Any) -> bytes:
            stream, _ = api.get_archive(server.id, PLAN)
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                found = tar.extractfile(Path(PLAN).name)
                return found.read() if found else b""

        text = await self._engine.call(f"read {PLAN} of {server.name}", work)
        try:
            return msgspec.json.decode(text, type=ClassPlan)
        except msgspec.DecodeError as error:
            raise EnvironmentProblem(f"the class {name!r} is of another mxlab: {error}") from error

    async def _server(self, name: str) -> Thing:
        check_lab_name(name, "class")
        found = await labelled_containers(self._engine, f"{CLASS}={name}", f"{PART}=server")
        if not found:
            others = ", ".join(await self.names())
            hint = f"those that are: {others}" if others else "`mxlab class up` brings one up"
            raise NotUp(f"no class called {name!r} is up", hint)
        return found[0]

    async def seats(self, name: str) -> dict[int, Thing]:
        """The containers of its seats by number."""
        found = await labelled_containers(self._engine, f"{CLASS}={name}", f"{PART}=seat")
        return {int(thing.labels[SEAT]): thing for thing in sorted(found, key=_number)}

    async def restart(self, seat: Thing) -> None:
        """End a seat with all that runs in it, and start it anew: empty, but for its tasks."""
        await self._engine.call(f"restart {seat.name}", lambda api: api.restart(seat.id, timeout=1))

    async def last_words(self, seat: Thing) -> list[str]:
        """The end of what it said."""
        said = await self._engine.call(
            f"read the log of {seat.name}", lambda api: api.logs(seat.id, tail=5)
        )
        return bytes(said).decode("utf-8", "replace").strip().splitlines()

    async def memory(self, seat: Thing) -> int:
        """Bytes that it uses, without what the kernel may take back."""

        def work(api: Any) -> int:
            told = api.stats(seat.id, stream=False, one_shot=True)["memory_stats"]
            more = told.get("stats", {})
            cache = more.get("total_inactive_file", more.get("inactive_file", 0))
            return int(told.get("usage", 0)) - int(cache)

        return await self._engine.call(f"measure {seat.name}", work)

    # --- making ----------------------------------------------------------------------------------

    async def _make_networks(self, plan: ClassPlan) -> None:
        taken = await taken_subnets(self._engine)
        subnets = free_subnets_of(taken)
        await self._network(plan, "", next(subnets), internal=False)
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(seat: SeatPlan, subnet: str) -> None:
            async with limit:
                await self._network(plan, seat.host, subnet, internal=True)

        pairs = [(seat, next(subnets)) for seat in plan.seats]
        with first_of_group(LabError):
            async with asyncio.TaskGroup() as group:
                for seat, subnet in pairs:
                    group.create_task(one(seat, subnet))

    async def _network(self, plan: ClassPlan, of: str, subnet: str, *, internal: bool) -> None:
        def work(api: Any) -> None:
            api.create_network(
                _named(plan.name, of or "class"),
                driver="bridge",
                internal=internal,
                options=_NO_HOST if internal else _NO_MASQUERADE,
                ipam={"Driver": "default", "Config": [{"Subnet": subnet}]},
                labels={CLASS: plan.name, PART: "network"},
                check_duplicate=True,
            )

        await self._create(plan.name, f"create the network {of or 'class'}", work)

    async def _create(self, name: str, doing: str, work: Any) -> Any:
        """Raises AlreadyUp where another has that name."""
        try:
            return await self._engine.call(doing, work)
        except EngineRefused as error:
            if error.status == CONFLICT:
                raise AlreadyUp(
                    f"another `mxlab class up` is at work on the class {name!r}",
                    f"wait for it; or `mxlab class down {name}`",
                ) from error
            raise

    async def _make_server(self, plan: ClassPlan, image: str) -> None:
        volume = _named(plan.name, "data")
        words = ["class", "serve", "--config", PLAN, "--data", "/data/kept"]
        words += ["--address", "0.0.0.0", "--port", str(SERVER_PORT)]

        def work(api: Any) -> None:
            labels = {CLASS: plan.name, PART: "data"}
            api.create_volume(volume, labels=labels)
            port = f"{SERVER_PORT}/tcp"
            host = api.create_host_config(
                **_hardened(512, 256, {"/tmp": f"size=16m,mode=0700,{_OWN}"}),
                network_mode=_named(plan.name, "class"),
                sysctls={"net.ipv4.ip_forward": "0"},
                mounts=[{"Type": "volume", "Source": volume, "Target": "/data"}],
                port_bindings={port: ("0.0.0.0", plan.port)},
            )
            made = api.create_container(
                image, command=words, name=_named(plan.name, "server"), hostname="class",
                labels={CLASS: plan.name, PART: "server"}, ports=[(str(SERVER_PORT), "tcp")],
                host_config=host,
            )["Id"]  # fmt: skip
            api.put_archive(made, "/data", _tar_of_plan(plan))
            for seat in plan.seats:
                api.connect_container_to_network(
                    made, _named(plan.name, seat.host), aliases=["class"]
                )
            api.start(made)

        await self._create(plan.name, "start the class server", work)

    async def _make_seat(self, plan: ClassPlan, seat: SeatPlan, image: str, begin: str) -> None:
        network = _named(plan.name, seat.host)
        environment = {
            "MXLAB_SEAT": str(seat.number), "MXLAB_SEAT_SEED": str(seat.seed),
            "MXLAB_SEAT_SECRET": seat.secret, "MXLAB_TRACK": plan.track,
            "MXLAB_CLASS": f"http://class:{SERVER_PORT}", "MXLAB_SEAT_BEGIN": begin,
        }  # fmt: skip

        def work(api: Any) -> None:
            host = api.create_host_config(
                **_hardened(SEAT_MEMORY, SEAT_PIDS, SEAT_TMPFS),
                network_mode=network,
                sysctls=SYSCTLS,
                nano_cpus=SEAT_CPUS,
                dns=[lab_name_server()],
                dns_opt=["ndots:1", "timeout:2", "attempts:2"],
            )
            made = api.create_container(
                image, command=["class", "seat"], name=network, hostname=seat.host,
                environment=environment, host_config=host,
                labels={CLASS: plan.name, PART: "seat", SEAT: str(seat.number)},
                networking_config=api.create_networking_config(
                    {network: api.create_endpoint_config(aliases=[seat.host])}
                ),
            )["Id"]  # fmt: skip
            api.start(made)

        await self._create(plan.name, f"start {seat.host}", work)


def lab_name_server() -> str:
    """Where the first host of a seat's lab listens, which is its name server: the first lab of a
    machine has the subnet that is tried first."""
    return str(Network(next(subnets_for(LAB_FOLDER)))[FIRST_HOST])


def _hardened(memory: int | str, pids: int, tmpfs: dict[str, str]) -> dict[str, Any]:
    most = memory if isinstance(memory, str) else f"{memory}m"
    return {
        "cap_drop": ["ALL"], "read_only": True, "security_opt": SECURITY, "init": True,
        "mem_limit": most, "memswap_limit": most, "pids_limit": pids, "tmpfs": tmpfs,
        "log_config": {"type": "json-file", "config": {**LOG_OPTIONS, "max-size": "5m"}},
        "restart_policy": {"Name": "always"},
    }  # fmt: skip


def _number(thing: Thing) -> int:
    return int(thing.labels[SEAT])


def _named(name: str, what: str) -> str:
    return f"mxlab-class-{name}-{what}"


def _tar_of_plan(plan: ClassPlan) -> bytes:
    content, buffer = write_plan(plan), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(Path(PLAN).name)
        entry.size, entry.mode, entry.uid, entry.gid = len(content), 0o600, UID, UID
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def free_subnets_of(taken: list[Taken]) -> Iterator[str]:
    """Small subnets that overlap with nothing. Raises SubnetClash at their end."""
    for block in BLOCKS:
        near = [one.network for one in taken if one.network.overlaps(Network(block))]
        for subnet in ipaddress.ip_network(block).subnets(new_prefix=WIDTH):
            if not any(subnet.overlaps(one) for one in near):
                yield str(subnet)
    raise clash_error([f"{one.network} is {one.owner}'s" for one in taken])


def available() -> int:
    """MB of memory that this machine has free, as the kernel estimates it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    raise EnvironmentProblem("/proc/meminfo does not tell how much memory is free")


def check_memory(seats: int, free: int, total: int) -> None:
    """Raises EnvironmentProblem, with numbers, where the seats would not fit (MB)."""
    need = seats * REST + SERVER_REST
    if need > free:
        most = max(0, (free - SERVER_REST) // REST)
        raise EnvironmentProblem(
            f"{seats} seats need {need} MB of memory at rest, and {free} MB of {total} MB are free",
            f"at most {most} seats fit here now; end other programs, or take a larger machine",
        )
