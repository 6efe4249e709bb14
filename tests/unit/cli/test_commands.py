"""The table of commands: complete, and one command loads one module of them."""

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest
import typer

import mxlab.cli
from mxlab.cli.app import PARTS


@pytest.mark.parametrize("part", PARTS)
def test_each_module_registers_the_commands_that_the_table_gives_it(part: str) -> None:
    there = typer.Typer()
    import_module(f"mxlab.cli.{part}").register(there)
    assert tuple(typer.main.get_group(there).commands) == PARTS[part]


def test_no_module_of_commands_is_left_out() -> None:
    modules = [module.name for module in iter_modules(mxlab.cli.__path__)]
    registering = {n for n in modules if hasattr(import_module(f"mxlab.cli.{n}"), "register")}
    assert registering == set(PARTS)


def test_a_command_does_not_wait_for_the_others() -> None:
    asked = (
        "import sys, typer; from mxlab.cli.app import app; "
        "typer.main.get_command(app).commands['route']; "
        "print(*sorted(m for m in sys.modules if m in ('mxlab.cli.dns', 'mxlab.cli.run')))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mxlab.cli.dns"]
