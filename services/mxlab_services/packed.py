"""Starts a node in the image, with the modules of one file: the one that `packing` made.

Guarantee: a module behaves as if it were loaded from its own file, and one that is not in the pack
is loaded from there. A start needs more than two hundred modules, and in a container's layered file
system finding and opening a file costs more than what is in it.

The interpreter runs this file by its path, so it imports what is there anyway, and nothing else.
"""

import os
import sys
from _frozen_importlib import ModuleSpec
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

HEADER = 8  # bytes at the pack's begin: the size of the index after it, little-endian
PACK = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/modules.pack"  # noqa: PTH100, PTH120


class PackedModules:
    """Finds and loads the modules of a pack; for `sys.meta_path`.

    The index, which follows the header, is name -> (whether it is a package, its source's path, the
    offset and the size of its code); offsets count from the index's end.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError where there is no such file."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # for good: others are loaded later
        size = int.from_bytes(os.pread(self._file, HEADER, 0), "little")
        self._begin = HEADER + size
        self._index: dict[str, tuple[bool, str, int, int]] = loads(
            os.pread(self._file, size, HEADER)
        )

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        found = self._index.get(name)
        if found is None:
            return None
        is_package, source, _, _ = found
        # A loader by its methods alone: their base class would have to be loaded first.
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]  # noqa: PTH120
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module will do."""

    def exec_module(self, module: "ModuleType") -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> "CodeType":
        _, _, offset, size = self._index[name]
        code: CodeType = loads(os.pread(self._file, size, self._begin + offset))
        return code

    def close(self) -> None:
        """Nothing more can be loaded."""
        os.close(self._file)


if __name__ == "__main__":
    sys.meta_path.insert(0, PackedModules(PACK))
    from mxlab_services.__main__ import main

    sys.exit(main(sys.argv[1:]))
