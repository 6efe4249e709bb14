"""The connection to a Docker engine: where it is, and calls to it that do not block the loop.

Guarantee: every failure leaves here as a LabError (EngineRefused where the engine answered with an
error, NoEngine where it did not answer); docker's and requests' exceptions go no further.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import docker
import requests
import urllib3
from docker.errors import APIError, ContextException, DockerException, TLSParameterError
from docker.utils import kwargs_from_env

from mxlab.backends.docker.ssh import Tunnel
from mxlab.backends.docker.streams import Stream, run_in_thread
from mxlab.errors import EnvironmentProblem, LabError, NoEngine

T = TypeVar("T")

CALL_SECONDS = 60  # the longest silence of the engine within one call
CONNECT_SECONDS = 10  # for the first answer
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class EngineRefused(EnvironmentProblem):
    """The engine answered with an error; `status` is HTTP's."""

    def __init__(self, doing: str, status: int, explanation: str) -> None:
        super().__init__(f"the Docker engine would not {doing}: {explanation}")
        self.status = status
        self.explanation = explanation


@dataclass(frozen=True, slots=True)
class EngineEndpoint:
    """Where the engine is, and the arguments that make the docker command go there too."""

    url: str
    arguments: tuple[str, ...]
    tls: Any = None  # docker's own TLSConfig


def find_endpoint() -> EngineEndpoint:
    """DOCKER_HOST if set, else the current Docker context (DOCKER_CONTEXT, or its config.json)."""
    try:
        if os.environ.get("DOCKER_HOST"):
            found = kwargs_from_env()
            url = str(found["base_url"])
            return EngineEndpoint(url, ("--host", os.environ["DOCKER_HOST"]), found.get("tls"))
        name = os.environ.get("DOCKER_CONTEXT")
        context = docker.ContextAPI.get_context(name) if name else docker.ContextAPI.get_context()
        if context is None:
            raise NoEngine(
                f"there is no Docker context {name or 'of that name'!r}", "see `docker context ls`"
            )
        arguments = () if context.name == "default" else ("--context", context.name)
        return EngineEndpoint(
            context.Host or "unix:///var/run/docker.sock", arguments, context.TLSConfig
        )
    except (ContextException, TLSParameterError, DockerException, OSError, ValueError) as error:
        raise NoEngine(
            f"Docker's configuration is not usable: {error}",
            "check DOCKER_HOST, DOCKER_CONTEXT and `docker context ls`",
        ) from error


class Engine:
    """An engine that answered once. `api` is docker's low-level client; use it through `call`.

    `tunnel` is what leads to it, if it is on another machine; it goes with the engine.
    """

    def __init__(self, endpoint: EngineEndpoint, tunnel: Tunnel | None) -> None:
        """Ask for its version. Raises docker's and requests' exceptions."""
        self.endpoint = endpoint
        self._tunnel = tunnel
        self.api = self._client(None, CONNECT_SECONDS)
        self.api.timeout = CALL_SECONDS
        self._busy: set[asyncio.Future[Any]] = set()

    async def call(self, doing: str, function: Callable[[docker.APIClient], T]) -> T:
        """Run `function` in a thread; `doing` completes "would not ..." for people."""

        def work() -> T:
            with _translated(doing, self.endpoint):
                return function(self.api)

        future = run_in_thread(work)
        self._busy.add(future)
        future.add_done_callback(self._busy.discard)
        return await asyncio.shield(future)

    async def settle(self) -> None:
        """Wait for calls that a cancellation left under way; each is bounded by CALL_SECONDS."""
        if self._busy:
            await asyncio.wait(set(self._busy))

    @contextlib.asynccontextmanager
    async def stream(
        self, doing: str, opening: Callable[[docker.APIClient], Any]
    ) -> AsyncIterator[Stream[Any]]:
        """Open one of docker's cancellable streams and iterate over it without blocking.

        It has a client of its own. A connection of `api` could end in good order, and serve the
        next call already, in the moment in which it is cut.
        """
        own = self._client(self.api.api_version, CALL_SECONDS)
        try:
            source = await self.call(doing, lambda _: opening(own))
        except BaseException:
            own.close()
            raise

        def items() -> Iterator[Any]:
            with _translated(doing, self.endpoint):
                yield from source

        stream: Stream[Any] = Stream(items(), lambda: _stop(source))
        try:
            yield stream
        finally:
            await asyncio.shield(stream.close())
            release(source)
            own.close()

    def _client(self, version: str | None, seconds: int) -> docker.APIClient:
        """A client with connections of its own; without a version it asks for it."""
        return docker.APIClient(
            base_url=self._tunnel.url if self._tunnel else self.endpoint.url,
            version=version,
            tls=self.endpoint.tls or False,
            timeout=seconds,
            max_pool_size=32,
        )

    def close(self) -> None:
        self.api.close()
        if self._tunnel is not None:
            self._tunnel.close()


def _stop(source: Any) -> None:
    # It may have ended by itself in this moment, and then its socket is gone already.
    with contextlib.suppress(OSError, ValueError, AttributeError, DockerException):
        source.close()


def release(source: Any) -> None:
    """Close the connection behind one of docker's streams or sockets; docker keeps it open."""
    response = getattr(source, "_response", None)
    if response is not None:
        response.close()


async def connect() -> Engine:
    """Find the engine and see that it answers. Raises NoEngine, which says why not."""

    def work() -> Engine:
        endpoint = find_endpoint()
        with _translated("answer", endpoint):
            _knock(endpoint.url)
            tunnel = Tunnel(endpoint.url) if endpoint.url.startswith("ssh://") else None
            try:
                return Engine(endpoint, tunnel)
            except BaseException:
                if tunnel:
                    tunnel.close()
                raise

    return await run_in_thread(work)


def _knock(url: str) -> None:
    """See that somebody listens on a local socket: the system's own words are the clearest."""
    scheme, _, path = url.removeprefix("http+").partition("://")
    if scheme == "unix":
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_SECONDS)
            probe.connect(path)


@contextlib.contextmanager
def _translated(doing: str, endpoint: EngineEndpoint) -> Iterator[None]:
    try:
        yield
    except LabError:
        raise
    except APIError as error:
        status = error.response.status_code if error.response is not None else 0
        raise EngineRefused(doing, status, str(error.explanation or error)) from error
    except (DockerException, *NETWORK_ERRORS) as error:
        raise no_engine(error, endpoint) from error


def no_engine(error: BaseException, endpoint: EngineEndpoint) -> NoEngine:
    """Why the engine does not answer, in words that say what to do."""
    where = endpoint.url.replace("http+unix://", "unix://")
    code = _errno(error)
    if code in (errno.EACCES, errno.EPERM):
        return NoEngine(
            f"this user may not use the Docker engine at {where} (permission denied)",
            "join the group `docker` and log in again, or use rootless Docker; "
            "or use `--backend process`",
        )
    if code in (errno.ENOENT, errno.ECONNREFUSED):
        return NoEngine(
            f"no Docker engine runs at {where}",
            "start Docker, or set DOCKER_HOST; or use `--backend process`",
        )
    if code in (errno.ECONNRESET, errno.EPIPE):
        reason = "it broke off the connection"
    else:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return NoEngine(
        f"the Docker engine at {where} does not answer: {reason}",
        "check DOCKER_HOST and `docker context ls`; or use `--backend process`",
    )


def _errno(error: BaseException) -> int | None:
    """The system's error number somewhere in what requests and urllib3 wrapped around it."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or not isinstance(item, BaseException):
            continue
        seen.add(id(item))
        if isinstance(item, OSError) and item.errno is not None:
            return item.errno
        waiting += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return None


async def engine_version() -> str:
    """What the engine is, and its version. Raises NoEngine."""
    engine = await connect()
    try:
        return f"Docker {await engine.call('tell its version', lambda a: a.version()['Version'])}"
    finally:
        engine.close()
