"""docs/map.md names every module, in the row of its room, and nothing that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "services/mxlab_services": ROOT / "services" / "mxlab_services",
    "lab/mxlab": ROOT / "lab" / "mxlab",
}


def rooms() -> Iterator[tuple[str, str, set[str]]]:
    """Package, room ("" for its ground and its top) and the modules that the page names there."""
    for part in (ROOT / "docs" / "map.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        package = part.partition(":")[0]
        for row in re.findall(r"^\| ([^|]+) \|[^|]*\| ([^|]*) \|$", part, re.MULTILINE):
            if row[0] not in ("room", "---"):
                room = "" if row[0].startswith("(") else row[0]
                yield package, room, set(re.findall(r"`(\w+)`", row[1]))


def test_the_map_names_every_module_in_its_room() -> None:
    told: dict[tuple[str, str], set[str]] = {}
    for package, room, names in rooms():
        told.setdefault((package, room), set()).update(names)
    there: dict[tuple[str, str], set[str]] = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            if path.name != "__init__.py":
                room = path.parent.relative_to(folder).as_posix().removeprefix(".")
                there.setdefault((package, room), set()).add(path.stem)
    assert told == there


def test_every_module_states_its_duty() -> None:
    silent = [
        path
        for folder in PACKAGES.values()
        for path in folder.rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []
