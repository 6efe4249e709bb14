"""An author's own functions: found beside the scenario file, or in a module, and nowhere else.

A scenario may come from somebody else: the file of a function lies in the scenario's own folder,
whatever links there are.
"""

import ast
import errno
import importlib
import importlib.util
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mxlab.errors import UsageError
from mxlab.model.scenario import Problem, Scenario, steps_path, walk
from mxlab.model.step import Python

HINT = "write file.py:function, a file beside the scenario, or module:function"


def target_problem(target: str, folder: Path) -> str:
    """Why `target` names no function that a scenario in `folder` may call; or nothing."""
    where, colon, name = target.partition(":")
    if not colon or not name.isidentifier():
        return f"{target!r} names no function"
    if not where.endswith(".py") and "/" not in where:
        whole = all(part.isidentifier() for part in where.split("."))
        return "" if whole else f"{where!r} is neither a module nor a file.py"
    wrong = path_problem(where, folder)
    return wrong or ("" if where.endswith(".py") else f"{where!r} is no file.py")


def path_problem(where: str, folder: Path) -> str:
    """Why no file of a scenario in `folder` can be at that path; or nothing."""
    path = PurePosixPath(where)
    if path.is_absolute() or ".." in path.parts:
        return f"{where!r} leads out of the scenario's folder"
    try:
        here, file = folder.resolve(), (folder / where).resolve()
        if file.is_symlink():  # a circle of links, which Python before 3.13 raises
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except (OSError, RuntimeError, ValueError) as error:
        return f"{where!r} cannot be followed: {error}"
    if not file.is_relative_to(here):
        return f"{where!r} is a link that leads out of the scenario's folder"
    return ""


def folder_of(scenario: Scenario) -> Path:
    """The scenario's folder; the present one for a scenario that came from no file."""
    return Path(scenario.origin.file).parent if scenario.origin else Path()


def load_function(target: str, scenario: Scenario) -> Callable[[Any], Awaitable[None]]:
    """The function. Raises UsageError for a target that may not be, and what its module raises."""
    folder = folder_of(scenario)
    if wrong := target_problem(target, folder):
        raise UsageError(wrong, HINT)
    where, _, name = target.partition(":")
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(
            f"mxlab_scenario_{Path(where).stem}", folder / where
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{where} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    found: Callable[[Any], Awaitable[None]] = getattr(module, name)
    return found


def missing_functions(scenario: Scenario) -> Iterator[Problem]:
    """Functions beside the scenario file that are not there."""
    for path, step in walk(scenario.steps):
        if not isinstance(step, Python):
            continue
        file, _, name = step.target.partition(":")
        if not file.endswith(".py") or scenario.origin is None:
            continue
        place, folder = (*steps_path(path), "python"), folder_of(scenario)
        source = folder / file
        if target_problem(step.target, folder):
            continue  # the loader says so; what lies elsewhere is not read
        try:
            tree = ast.parse(source.read_text(encoding="utf-8"), str(source))
        except OSError as error:
            yield Problem(place, f"{source} cannot be read: {error.strerror}")
        except (SyntaxError, ValueError) as error:
            yield Problem(place, f"{source} is no Python: {error}")
        else:
            known = [node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
            if name not in known:
                text = f"there is no such `async def` in {source}"
                yield Problem(place, text, name, tuple(known))
