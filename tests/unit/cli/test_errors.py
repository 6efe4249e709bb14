"""Errors that several tasks raise at once, and children that are to be interrupted."""

import ast
import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import mxlab
import mxlab_services
from mxlab.errors import LabError, NodeFailed, first_of_group


async def raises(error: Exception) -> None:
    raise error


async def together(*errors: Exception) -> None:
    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            for error in errors:
                group.create_task(raises(error))


async def test_of_several_errors_the_first_is_raised_bare() -> None:
    with pytest.raises(LabError) as caught:
        await together(NodeFailed("mx1 died"), LabError("mx2 too"))
    assert type(caught.value) is NodeFailed
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_groups_within_groups_are_opened() -> None:
    with pytest.raises(NodeFailed):
        await together(ExceptionGroup("inner", [NodeFailed("mx1 died")]))


async def test_a_bug_beside_an_error_is_seen_whole() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await together(LabError("mx1 died"), ValueError("a bug"))
    assert {type(error) for error in caught.value.exceptions} == {LabError, ValueError}


@pytest.mark.parametrize("package", [mxlab, mxlab_services], ids=lambda package: package.__name__)
def test_nothing_uses_except_star(package: object) -> None:
    """Python before 3.11.4 wraps what is raised in its body; Debian 12 has 3.11.2."""
    (root,) = map(Path, getattr(package, "__path__"))  # noqa: B009
    trees = {path: ast.parse(path.read_bytes()) for path in root.rglob("*.py")}
    assert trees
    stars = [
        f"{path}:{node.lineno}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.TryStar)
    ]
    assert stars == []


def test_children_can_be_interrupted() -> None:
    child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    ran = subprocess.run(
        [sys.executable, "-c", child], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "True"


def test_they_can_where_a_script_started_the_suite_in_its_background() -> None:
    """There SIGINT is ignored (POSIX.1, 2.11 of the shell), and stays so over exec."""
    ignoring = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'pytest', '-q', *sys.argv[1:]])\n"
    )
    one = f"{Path(__file__)}::{test_children_can_be_interrupted.__name__}"
    words = ["-p", "no:cacheprovider", "-p", "no:xdist", one]
    ran = subprocess.run(
        [sys.executable, "-c", ignoring, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert ran.returncode == 0, ran.stdout
