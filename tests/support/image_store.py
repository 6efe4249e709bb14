"""An engine's images, as a set of names."""

from pathlib import Path

from mxlab.backends.base import Progress
from mxlab.backends.docker.image import BuildTarget
from mxlab.errors import NoImage


class FakeStore:
    """An engine's images, as a set of names; `reachable` says whether pulls work."""

    def __init__(self, *present: str, reachable: bool = True) -> None:
        self.names = set(present)
        self.reachable = reachable
        self.built: list[tuple[str, bytes]] = []
        self.file_holds: list[str] = []
        self.used: set[str] = set()

    async def present(self, name: str) -> bool:
        return name in self.names

    async def pull(self, name: str, progress: Progress) -> None:
        if not self.reachable:
            raise NoImage(f"{name} cannot be pulled: no route")
        self.names.add(name)

    async def add_base(self, archive: Path, name: str) -> None:
        self.names.add(name)

    async def target(self, name: str) -> BuildTarget:
        return BuildTarget("3.11", "x86_64")

    async def build(self, context: bytes, base: str, names: list[str]) -> None:
        self.built.append((base, context))
        self.names.update(names)

    async def tag(self, name: str, alias: str) -> None:
        self.names.add(alias)

    async def save(self, name: str, path: Path) -> None:
        path.write_text(name)  # noqa: ASYNC240 - a few bytes

    async def tagged(self, repository: str) -> list[str]:
        return [name for name in self.names if name.partition(":")[0] == repository]

    async def remove(self, name: str) -> bool:
        if name not in self.used:
            self.names.remove(name)
        return name not in self.used

    async def load(self, path: Path) -> list[str]:
        path.read_text()  # noqa: ASYNC240 - likewise
        self.names.update(self.file_holds)
        return self.file_holds


def quiet(_: str) -> None:
    """Progress that nobody looks at."""
