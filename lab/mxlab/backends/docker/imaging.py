"""Images on the engine: what `mxlab.backends.docker.image` needs of it."""

import asyncio
import contextlib
import io
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mxlab.backends.base import Progress
from mxlab.backends.docker.engine import Engine, EngineRefused, connect
from mxlab.backends.docker.image import BuildTarget
from mxlab.backends.docker.sweep import CONFLICT
from mxlab.errors import NoImage

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
REGISTRY_SECONDS = 20  # for a registry's first word; without it, there are other bases
ASK_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@contextlib.asynccontextmanager
async def image_store() -> AsyncIterator["ImageStore"]:
    """The images of the current engine. Raises NoEngine."""
    engine = await connect()
    try:
        yield ImageStore(engine)
    finally:
        engine.close()


class ImageStore:
    """A `mxlab.backends.docker.image.Store` on an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def present(self, name: str) -> bool:
        def work(api: Any) -> object:
            return api.inspect_image(name)

        try:
            await self._engine.call(f"inspect {name}", work)
        except EngineRefused as error:
            if error.status == 404:
                return False
            raise
        return True

    async def pull(self, name: str, progress: Progress) -> None:
        repository, _, tag = name.partition(":")

        def begin(api: Any) -> tuple[dict[str, Any], Any]:
            lines = api.pull(repository, tag=tag, stream=True, decode=True)
            return next(lines, {}), lines

        try:
            async with asyncio.timeout(REGISTRY_SECONDS):
                first, rest = await self._engine.call(f"pull {name}", begin)
            progress(f"pulling {name} ({first.get('status', 'begun')})")
            problem = await self._engine.call(
                f"pull {name}", lambda _: _last_problem(itertools.chain([first], rest))
            )
        except EngineRefused as error:
            problem = error.explanation
        except TimeoutError:
            problem = f"no registry answered within {REGISTRY_SECONDS} s"
        if problem:
            raise NoImage(f"{name} cannot be pulled: {problem}")

    async def add_base(self, archive: Path, name: str) -> None:
        repository, _, tag = name.partition(":")

        def work(api: Any) -> None:
            api.import_image(str(archive), repository=repository, tag=tag)

        await self._engine.call(f"import {name}", work)

    async def target(self, name: str) -> BuildTarget:
        def work(api: Any) -> tuple[str, str]:
            machine = str(api.inspect_image(name)["Architecture"])
            made = api.create_container(
                name,
                command=["python3", "-c", ASK_VERSION],
                entrypoint=[],
                host_config=api.create_host_config(network_mode="none"),
            )
            try:
                api.start(made["Id"])
                api.wait(made["Id"], timeout=60)
                return api.logs(made["Id"], stderr=False).decode().strip(), machine
            finally:
                api.remove_container(made["Id"], force=True)

        version, machine = await self._engine.call(f"run Python in {name}", work)
        if not version:
            raise NoImage(f"there is no Python in {name}", "choose another base")
        return BuildTarget(version, MACHINES.get(machine, machine))

    async def build(self, context: bytes, base: str, names: list[str]) -> None:
        first, *others = names

        def work(api: Any) -> str | None:
            lines = api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                buildargs={"BASE": base},
                tag=first,
                rm=True,
                forcerm=True,
                decode=True,
            )
            return _last_problem(lines)

        problem = await self._engine.call("build the image", work)
        if problem:
            raise NoImage(
                f"the image could not be built on {base}:\n  {problem}",
                "another base may do: `mxlab image build --base debian` (or python)",
            )
        for other in others:
            await self.tag(first, other)

    async def tag(self, name: str, alias: str) -> None:
        repository, _, tag = alias.partition(":")
        await self._engine.call(f"tag {name}", lambda api: api.tag(name, repository, tag))

    async def save(self, name: str, path: Path) -> None:
        def work(api: Any) -> None:
            for chunk in api.get_image(name, chunk_size=1 << 20):
                try:
                    file.write(chunk)
                except OSError as error:
                    raise NoImage(f"{path} cannot be written: {error.strerror}") from error

        with path.open("wb") as file:
            await self._engine.call(f"save {name}", work)

    async def load(self, path: Path) -> list[str]:
        def work(api: Any) -> list[str]:
            loaded = [line.get("stream", "") for line in api.load_image(file)]
            return [
                word.strip() for text in loaded if (word := text.partition("Loaded image: ")[2])
            ]

        with path.open("rb") as file:
            return await self._engine.call(f"load {path}", work)

    async def tagged(self, repository: str) -> list[str]:
        found = await self._engine.call("list images", lambda api: api.images(repository))
        return [name for image in found for name in image["RepoTags"] or ()]

    async def remove(self, name: str) -> bool:
        try:
            await self._engine.call(f"remove {name}", lambda api: api.remove_image(name))
        except EngineRefused as error:
            if error.status == CONFLICT:
                return False
            raise
        return True


def _last_problem(lines: Any) -> str | None:
    """Read a build's or a pull's progress to its end; the error with the log's end, if any."""
    log: list[str] = []
    for line in lines:
        if "error" in line:
            return "\n  ".join([str(line["error"]).strip(), *log[-8:]])
        text = str(line.get("stream", "")).strip()
        if text:
            log.append(text)
    return None
