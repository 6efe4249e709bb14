"""Every command that an entry of the glossary shows, typed into a lab of local processes."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxlab.glossary.entry import entries
from tests.support.command import Lab

GLOSSARY = entries()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("glossary"))
    made("up")
    made("send", "--to", "bob@example.test", "--wait")
    yield made
    made("down")


@pytest.mark.parametrize("entry", GLOSSARY)
def test_an_entrys_commands_show_what_they_say(lab: Lab, entry: str) -> None:
    for command in GLOSSARY[entry].see:
        program, *words = shlex.split(command)
        assert program == "mxlab"
        shown = lab.run(*words)
        assert shown.stdout.strip() or shown.stderr.strip(), command


def test_the_names_of_the_lab_that_is_up_are_filled_in(lab: Lab, tmp_path: Path) -> None:
    assert "mxlab dig example.test MX" in lab("explain", "mx-record", "--here")
    other = Lab(tmp_path)
    other("up", "--domain", "acme.test")
    try:
        assert "mxlab dig acme.test MX" in other("explain", "mx-record", "--here")
    finally:
        other("down")
