"""What is taken of aiosmtpd and aiosmtplib: by one module each, private names with their reason."""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import mxlab_services
from mxlab_services.smtp.client import aiosmtplib_adapter
from mxlab_services.smtp.client.connection import ClientSession
from mxlab_services.smtp.server import aiosmtpd_adapter
from mxlab_services.smtp.server.session import ServerSession

SERVICES = Path(mxlab_services.__file__).parent
ADAPTERS = {"aiosmtpd": aiosmtpd_adapter, "aiosmtplib": aiosmtplib_adapter}
SESSIONS: dict[str, type] = {"aiosmtpd": ServerSession, "aiosmtplib": ClientSession}


def private_names(source: str, *, of_others: bool = False) -> set[str]:
    """Attributes and methods that begin with one underscore, or only what is taken of others."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if of_others:
                continue
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not of_others:
                found.add(name)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def of_the_library(library: str) -> set[str]:
    """The private names of the classes that a session is made of, and of what it reads from."""
    classes = [klass for klass in SESSIONS[library].__mro__ if is_theirs(klass)]
    sources = map(inspect.getsource, [*classes, asyncio.StreamReader])
    return set().union(*map(private_names, sources))


def is_theirs(klass: type) -> bool:
    return klass.__module__.startswith(("aiosmtp", "asyncio."))


def listed(adapter: ModuleType) -> set[str]:
    """The names in the list of the adapter's docstring."""
    lines = re.findall(r"(?m)^- (`_.*?):", adapter.__doc__ or "")
    return {name for line in lines for name in re.findall(r"`(_\w+)`", line)}


def imports(library: str) -> Iterator[Path]:
    for path in SERVICES.rglob("*.py"):
        if re.search(rf"(?m)^\s*(from|import) {library}\b", path.read_text()):
            yield path


@pytest.mark.parametrize("library", ADAPTERS)
def test_only_its_adapter_imports_it(library: str) -> None:
    assert list(imports(library)) == [Path(str(ADAPTERS[library].__file__))]


@pytest.mark.parametrize("library", ADAPTERS)
def test_the_adapter_lists_each_private_name_and_no_other(library: str) -> None:
    adapter = ADAPTERS[library]
    used = private_names(inspect.getsource(adapter)) & of_the_library(library)
    assert used == listed(adapter)
    assert used  # else the list, and these tests, may go


@pytest.mark.parametrize("library", ADAPTERS)
def test_no_other_module_touches_a_private_name(library: str) -> None:
    theirs = of_the_library(library)
    for klass in SESSIONS[library].__mro__:
        if klass.__module__.endswith((".session", ".connection")):
            assert not private_names(inspect.getsource(klass)) & theirs, klass
    for path in SERVICES.rglob("*.py"):
        if not path.name.endswith("_adapter.py"):
            assert not private_names(path.read_text(), of_others=True) & theirs, path


def test_a_private_name_would_be_seen() -> None:
    code = "class A:\n    def _own(self):\n        return self._mine + self.reader._buffer"
    assert private_names(code) == {"_own", "_mine", "_buffer"}
    assert private_names(code, of_others=True) == {"_buffer"}
