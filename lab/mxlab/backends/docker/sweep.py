"""Finds and removes what bears a lab's label: containers, networks, volumes, and nothing else.

Guarantee: `sweep` is idempotent, tries everything before it gives up, and has looked that nothing
is left when it returns.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from docker import APIClient
from docker.errors import APIError, NotFound

from mxlab.backends.base import Found, Removal, State
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.shape import BESIDE, LAB, NODE, ROLE, RUN
from mxlab.errors import EnvironmentProblem

Kind = Literal["container", "network", "volume"]

GONE, CONFLICT = 404, 409
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on the engine that bears the label. `state` is the engine's word."""

    kind: Kind
    id: str
    name: str
    labels: dict[str, str]
    state: str = ""

    @property
    def is_node(self) -> bool:
        """A node's container, not that of what stands beside one."""
        return self.kind == "container" and self.labels.get(ROLE) not in BESIDE


async def labelled(engine: Engine, *labels: str) -> list[Thing]:
    """Everything with all these labels (a key, or key=value)."""
    filters = {"label": list(labels)}
    containers, networks, volumes = await asyncio.gather(
        labelled_containers(engine, *labels),
        engine.call("list networks", lambda api: api.networks(filters=filters)),
        engine.call("list volumes", lambda api: api.volumes(filters=filters)),
    )
    return [
        *containers,
        *(Thing("network", n["Id"], n["Name"], n["Labels"] or {}) for n in networks),
        *(
            Thing("volume", v["Name"], v["Name"], v["Labels"] or {})
            for v in volumes["Volumes"] or ()
        ),
    ]


async def labelled_containers(engine: Engine, *labels: str) -> list[Thing]:
    """The containers among them."""
    filters = {"label": list(labels)}
    found = await engine.call(
        "list containers", lambda api: api.containers(all=True, filters=filters)
    )
    return [
        Thing("container", c["Id"], c["Names"][0].lstrip("/"), c["Labels"] or {}, c["State"])
        for c in found
    ]


def found_labs(things: list[Thing]) -> list[Found]:
    """The labs that these things belong to."""
    labs: dict[tuple[str, str], dict[str, State]] = {}
    for thing in things:
        key = (thing.labels.get(LAB, ""), thing.labels.get(RUN, ""))
        nodes = labs.setdefault(key, {})
        if thing.is_node:
            nodes[thing.labels.get(NODE, thing.name)] = state_of(thing.state)
    return [Found("docker", lab, run, nodes) for (lab, run), nodes in sorted(labs.items())]


def state_of(word: str) -> State:
    """The engine's word (created, restarting, exited, dead ... too) as one of three."""
    match word:
        case "running" | "paused":
            return word
        case _:
            return "stopped"


async def sweep(engine: Engine, *labels: str) -> Removal:
    """Remove all that has these labels. Raises EnvironmentProblem for what would not go."""
    removed: list[tuple[str, str]] = []
    problems: list[str] = []
    for _ in range(2):  # whoever made these things may have been at work when we looked
        things = await labelled(engine, *labels)
        if not things:
            break
        problems.clear()
        containers = [thing for thing in things if thing.kind == "container"]
        others = [thing for thing in things if thing.kind != "container"]
        for batch in (containers, others):  # networks and volumes are in use until then
            answers = await asyncio.gather(*(_remove(engine, thing) for thing in batch))
            for thing, problem in zip(batch, answers, strict=True):
                if problem:
                    problems.append(f"{thing.kind} {thing.name}: {problem}")
                else:
                    removed.append((thing.kind, thing.name))
    else:
        left = await labelled(engine, *labels)
        if left:
            names = ", ".join(f"{thing.kind} {thing.name}" for thing in left)
            raise EnvironmentProblem(
                f"could not remove {names}" + "".join(f"\n  {line}" for line in problems),
                "see who uses it (`docker inspect`), then try again",
            )
    return Removal(tuple(dict.fromkeys(removed)))


async def _remove(engine: Engine, thing: Thing) -> str | None:
    """Remove one thing and see that it is gone; returns why it would not go."""
    action: Callable[[APIClient], Any]
    match thing.kind:
        case "container":
            action = _container_remover(thing.id)
        case "network":

            def action(api: APIClient) -> None:
                api.remove_network(thing.id)

        case "volume":

            def action(api: APIClient) -> None:
                api.remove_volume(thing.id)

    try:
        await engine.call(f"remove the {thing.kind} {thing.name}", action)
    except EngineRefused as error:
        return None if error.status == GONE else error.explanation
    return None


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end even when cancelled meanwhile; the cancellation then follows."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()


def _container_remover(container: str) -> Callable[[APIClient], None]:
    def remove(api: APIClient) -> None:
        try:
            api.remove_container(container, force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            # Somebody else removes it right now: wait until it is gone.
            try:
                api.wait(container, timeout=30, condition="removed")
            except NotFound:
                return

    return remove
