"""`python -m mxlab_services.packing FILE`: packs the code of every module that a node can load.

The image is built with it, by the interpreter that will run the nodes; `packed` reads the file.
"""

import marshal
import pkgutil
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path

import mxlab_services
from mxlab_services.packed import HEADER

_STARTS = ("mxlab_services.packed", "mxlab_services.packing")  # not a node's


def pack(file: Path) -> int:
    """Write the pack of all our modules and what they load; returns how many modules there are."""
    for module in pkgutil.walk_packages(mxlab_services.__path__, "mxlab_services."):
        import_module(module.name)
    index: dict[str, tuple[bool, str, int, int]] = {}
    codes = bytearray()
    for name, loaded in sorted(sys.modules.items()):
        spec = getattr(loaded, "__spec__", None)
        if spec is None or not isinstance(spec.loader, SourceFileLoader) or name in _STARTS:
            continue  # built in, frozen, or of machine code
        code = marshal.dumps(spec.loader.get_code(spec.name))
        is_package = spec.submodule_search_locations is not None
        index[spec.name] = (is_package, str(spec.origin), len(codes), len(code))
        codes += code
    head = marshal.dumps(index)
    file.write_bytes(len(head).to_bytes(HEADER, "little") + head + codes)
    return len(index)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mxlab_services.packing FILE")
    pack(Path(sys.argv[1]))
