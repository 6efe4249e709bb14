"""Runs a command's work, and finds labs and nodes for it."""

import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from mxlab.cli.output import note, stamp
from mxlab.errors import EnvironmentProblem, LabError, NoEngine, NotUp, UnknownName, UsageError
from mxlab.visible import visible_text

if TYPE_CHECKING:
    from mxlab.backends.base import Backend, Found, Lab, Node, Progress
    from mxlab.backends.real.remains import Source

T = TypeVar("T")
N = TypeVar("N")

BACKENDS = ("docker", "process")


def work(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. SIGTERM and SIGHUP interrupt it as Ctrl-C does: it undoes, then stops."""
    import asyncio

    log_visibly()

    async def heeding() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        return asyncio.run(heeding())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def log_visibly() -> None:
    """Let what goes to the log of no handler, on standard error, go through `visible_text`."""
    import logging

    class Visibly(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return visible_text(super().format(record))

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Visibly())


def backend_named(name: str) -> "Backend":
    """One of the backends that keep labs beyond mxlab's life. Raises UnknownName."""
    match name:
        case "docker":
            from mxlab.backends.docker import DockerBackend

            return DockerBackend()
        case "process":
            from mxlab.backends.process import ProcessBackend

            return ProcessBackend()
        case _:
            raise UnknownName("backend", name, ("auto", *BACKENDS))


async def choose_backend(name: str, progress: "Progress") -> tuple["Backend", str]:
    """The backend of that name, or, for `auto`, Docker where it works, else processes.

    Answers it with the reason why it is not Docker, if that was decided here.
    """
    if name != "auto":
        return backend_named(name), ""
    from mxlab.backends.docker import image as images
    from mxlab.backends.docker import image_store

    try:
        async with image_store() as store:
            await images.ensure_image(store, progress)
    except EnvironmentProblem as error:
        return backend_named("process"), str(error)
    return backend_named("docker"), ""


async def find_labs() -> "tuple[list[Found], str]":
    """All labs of this machine, and why there may be more that cannot be seen."""
    found = await backend_named("process").find()
    try:
        found += await backend_named("docker").find()
    except NoEngine as error:
        return found, str(error)
    return found, ""


@contextlib.asynccontextmanager
async def attached(lab: str) -> AsyncIterator["Lab"]:
    """The lab of that name, in whatever world it is. Raises NotUp, which names those that are."""
    found, unseen = await _world_of(lab)
    if found is None:
        raise await _not_up(lab, unseen)
    async with found.attach(lab) as running:
        yield running


async def is_up(lab: str) -> bool:
    """Whether a lab of that name, or what is left of one, is there already."""
    found, _ = await _world_of(lab)
    return found is not None


async def _world_of(lab: str) -> "tuple[Backend | None, str]":
    process = backend_named("process")
    if any(found.lab == lab for found in await process.find()):
        return process, ""
    docker = backend_named("docker")
    try:
        here = any(found.lab == lab for found in await docker.find())
    except NoEngine as error:
        return None, str(error)
    return (docker if here else None), ""


async def _not_up(lab: str, unseen: str) -> NotUp:
    labs, _ = await find_labs()
    text = f"no lab called {lab!r} is up" + (f" ({unseen})" if unseen else "")
    if not labs:
        return NotUp(text, "`mxlab up` brings one up")
    return NotUp(text, UnknownName("lab", lab, [found.lab for found in labs]).hint)


def check_address(address: str) -> None:
    """Raise UsageError, with the rule, for what is no address."""
    from mxlab_services.address import problem_of

    if wrong := problem_of(address):
        raise UsageError(f"{address[:80]!r} is no mail address: {wrong.text}")


def node_called(lab: "Lab", name: str) -> "Node":
    """Raises UnknownName."""
    try:
        return lab.nodes[name]
    except KeyError:
        raise UnknownName("node", name, lab.nodes) from None


def mtas(lab: "Lab", names: list[str]) -> "list[Node]":
    """These nodes, or all that have a queue. Raises UnknownName, UsageError for a DNS server."""
    from mxlab_services.config import MtaConfig

    chosen = [node_called(lab, name) for name in names] or list(lab.nodes.values())
    having = [node for node in chosen if isinstance(node.config, MtaConfig)]
    if names and len(having) < len(chosen):
        wrong = next(n for n in chosen if not isinstance(n.config, MtaConfig))
        raise UsageError(
            f"{wrong.config.node} is no MTA",
            "MTAs: " + ", ".join(node.config.node for node in mtas(lab, [])),
        )
    return having


async def sources(
    stack: contextlib.AsyncExitStack, lab: "Lab", nodes: "list[Node]", part: str
) -> "list[Source]":
    """The nodes, and for those that are down what they left of this part of their disk, with a word
    on standard error that it is so. `stack` lets go of them."""
    import asyncio

    from mxlab.backends.real.remains import source_of

    opened = [source_of(node, lab.clock, part) for node in nodes]
    found = await asyncio.gather(*(stack.enter_async_context(source) for source in opened))
    for source in found:
        if source.is_down:
            name = source.config.node
            since = "" if source.ended is None else f", when it last spoke at {stamp(source.ended)}"
            note(f"mxlab: {name} is stopped: this is its disk as it was left{since}")
    return found


async def each(
    nodes: "list[N]", asked: bool, question: Any
) -> "tuple[list[tuple[N, Any]], list[LabError]]":
    """Put a question (node -> reply) to all nodes at once.

    Where nodes were `asked` for by name, the first problem is raised; else problems are answered.
    """
    import asyncio

    answers = await asyncio.gather(*(question(node) for node in nodes), return_exceptions=True)
    good: list[tuple[N, Any]] = []
    problems: list[LabError] = []
    for node, answer in zip(nodes, answers, strict=True):
        if isinstance(answer, LabError) and not asked:
            problems.append(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            good.append((node, answer))
    return good, problems
