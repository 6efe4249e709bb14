"""Authoring at the command line: new, lint, show, schema, and a folder of one's own."""

import io
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.cli import app
from mxlab.model.mechanism import MECHANISMS
from mxlab.scenario.draft import PAST

STORY = """\
mxlab: 1
title: Mine
steps:
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 30s, delivered: one}
expect: [nothing-lost]
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXLAB_SCENARIOS", str(tmp_path))
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    return tmp_path


def mxlab(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / name / "scenario.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return path


class TestNew:
    @pytest.mark.parametrize("fault", PAST)
    def test_its_draft_lints_and_passes(self, fault: str, own: Path) -> None:
        words = ["--mx", "1"] if fault == "pause" else []
        mxlab("scenario", "new", "draft", "--fault", fault, *words)
        assert "nothing to be mended" in mxlab("scenario", "lint", "draft").stderr
        assert (own / "draft" / "README.md").read_text().startswith("# Draft\n")
        assert "PASSED" in mxlab("run", "draft", "--backend", "sim").stdout

    def test_a_fault_gets_its_parameters(self, own: Path) -> None:
        words = ("--fault", "reply", "--set", "verb=RCPT", "--set", "code=451", "--title", "a: b")
        mxlab("scenario", "new", "busy", *words)
        assert (
            "reply: {host: mx1, verb: RCPT, code: 451}"
            in (own / "busy" / "scenario.yaml").read_text()
        )
        mxlab("scenario", "lint", "busy")
        assert "PASSED" in mxlab("run", "busy", "--backend", "sim").stdout

    def test_a_dns_fault_befalls_the_dns_server(self, own: Path) -> None:
        words = ("--fault", "dns-servfail", "--set", "name=example.test")
        mxlab("scenario", "new", "lost", *words)
        assert "host: dns" in (own / "lost" / "scenario.yaml").read_text()
        assert "PASSED" in mxlab("run", "lost", "--backend", "sim").stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["My Outage"], "cannot be a scenario's id"),
            (["x", "--fault", "kil"], "did you mean 'kill'?"),
            (["x", "--host", "mx9"], "no host is called 'mx9'"),
            (["x", "--host", "client"], "without the client nobody sends"),
            (["x", "--fault", "reply"], "add --set verb=... --set code=..."),
            (["x", "--fault", "reply", "--set", "verb=RCPT", "--set", "code=x"], "whole number"),
            (["x", "--set", "nth"], "KEY=VALUE"),
            (["x", "--set", "nth=1"], "`nth`: unknown key"),
            (["x", "--mx", "0"], "--mx"),
            (["x", "--count", "0"], "--count"),
            (["taken"], "is there already"),
        ],
    )
    def test_bad_input_writes_nothing(self, words: list[str], said: str, own: Path) -> None:
        (own / "taken").mkdir()
        assert said in mxlab("scenario", "new", *words, code=2).stderr
        assert [path.name for path in own.iterdir()] == ["taken"]
        assert list((own / "taken").iterdir()) == []

    def test_at_a_terminal_it_asks(self, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mxlab.cli.scenario.at_terminal", lambda: True)
        answers = "A frozen backup\npause\nmx2\n3\n"
        result = CliRunner().invoke(app, ["scenario", "new", "frozen"], input=answers)
        assert result.exit_code == 0, result.output
        text = (own / "frozen" / "scenario.yaml").read_text()
        assert "title: A frozen backup" in text
        assert "pause: mx2" in text
        assert "host: mx3" in text

    def test_a_folder_that_is_not_there_yet_is_made(self, tmp_path: Path) -> None:
        mxlab("scenario", "new", "x", "--scenarios", tmp_path / "course")
        assert (tmp_path / "course" / "x" / "scenario.yaml").is_file()


class TestLint:
    def test_what_is_sound_is_0(self, own: Path) -> None:
        write(own, STORY)
        assert mxlab("scenario", "lint", "mine").stdout == ""

    def test_each_thing_has_file_line_and_column(self, own: Path) -> None:
        path = write(own, STORY.replace("delivered: one", "delivered: oen"))
        other = write(own, STORY.replace("- send", "- sned"), "other")
        said = mxlab("scenario", "lint", "mine", other, code=2)
        first, hint, second, nearest = said.stdout.splitlines()
        assert first.startswith(f"{path}:5:42: error: `delivered`: 'oen': no batch")
        assert "did you mean 'one'?" in hint
        assert second.startswith(f"{other}:4:5: error: `sned`: unknown key")
        assert "did you mean `send`?" in nearest
        assert "2 checked, 2 to be mended" in said.stderr

    def test_json(self, own: Path) -> None:
        write(own, STORY.replace("expect: [", "expect: [nothing-lost, "))
        (row,) = msgspec.json.decode(mxlab("scenario", "lint", "mine", "--json", code=2).stdout)
        assert (row["line"], row["column"], row["level"]) == (6, 24, "error")
        assert row["message"] == "`expect[2]`: the same stands here twice"

    def test_what_one_world_cannot_do_is_a_note(self, own: Path) -> None:
        write(own, STORY.replace("  - send", "  - fault: {id: x, drop: mx1}\n  - send"))
        result = mxlab("scenario", "lint", "mine")
        assert "scenario.yaml:4:" in result.stdout
        assert "the process backend cannot drop a node" in result.stdout

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (None, "extra.py cannot be read: No such file"),
            ("async def function(lab):\n    pass\n", "did you mean 'function'?"),
            ("def functoin(lab):\n    pass\n", "no such `async def`"),
            ("def (", "is no Python"),
        ],
    )
    def test_a_function_that_is_not_there(self, own: Path, code: str | None, said: str) -> None:
        path = write(own, STORY.replace("expect", "  - python: extra.py:functoin\nexpect"))
        if code is not None:
            path.with_name("extra.py").write_text(code)
        out = mxlab("scenario", "lint", "mine", code=2).stdout
        assert f"{path}:6:13: error: `python`: " in out
        assert said in out

    def test_a_file_that_is_not_there_is_2(self) -> None:
        assert "there is no file" in mxlab("scenario", "lint", "none.yaml", code=2).stderr


class TestFolder:
    def test_own_scenarios_stand_beside_those_that_ship(self, own: Path) -> None:
        write(own, STORY)
        listed = mxlab("scenario", "list").stdout
        assert "mine" in listed
        assert "primary-outage" in listed
        assert "PASSED" in mxlab("run", "mine", "--backend", "sim").stdout
        assert "did you mean 'mine'?" in mxlab("run", "mien", code=2).stderr

    def test_one_of_the_same_id_goes_first(self, own: Path) -> None:
        write(own, STORY, "primary-outage")
        assert mxlab("scenario", "show", "primary-outage").stdout.startswith("primary-outage: Mine")

    def test_an_option_goes_before_the_environment(self, own: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        write(other, STORY)
        assert "Mine" in mxlab("scenario", "show", "mine", "--scenarios", other).stdout
        assert "no scenario is called" in mxlab("scenario", "show", "mine", code=2).stderr

    def test_no_folder_is_2(self) -> None:
        said = mxlab("scenario", "list", "--scenarios", "/nowhere", code=2).stderr
        assert "/nowhere is no folder" in said


def test_show_tells_the_story_in_plain_words() -> None:
    said = mxlab("scenario", "show", "both-down").stdout
    assert "taken by 2 mail exchangers: mx1 (primary, preference 10), mx2 (backup" in said
    assert "  2. At the same time:\n       - Fault primary-down (kill mx1): the node ends" in said
    assert "  3. 10 messages go from alice@client.test to bob@example.test (batch)." in said
    assert "  - nothing-lost: no message that somebody acknowledged is lost\n" in said
    assert "answer" not in said.split("# Both exchanges")[0]


def test_show_knows_every_step_and_fault(own: Path) -> None:
    write(
        own,
        STORY.replace(
            "expect",
            "  - wait: 2h\n  - never: {during: 5s, bounced: one}\n  - python: a.py:f\n"
            '  - dns: {add: ["x A 10.0.0.1"], remove: [mx1 A]}\n  - fault: {id: x, kill: mx1}\n'
            "  - heal: x\n  - ask: {question: who, answer: me}\nexpect",
        ),
    )
    said = mxlab("scenario", "show", "mine").stdout
    for line in (
        "2h of lab time go by.",
        "For 5s it must not happen that all of one has bounced.",
        "The author's own function a.py:f runs.",
        "The zone of the domain changes: 'mx1 A' goes, 'x A 10.0.0.1' comes.",
        "x is healed: mx1 is as before.",
        "A question to you: who",
    ):
        assert line in said


def test_schema_is_json_for_editors() -> None:
    schema = msgspec.json.decode(mxlab("scenario", "schema").stdout)
    assert schema["$defs"]["step"]["properties"]["fault"]["properties"].keys() == {
        "id",
        *MECHANISMS,
    }


def test_input_is_not_read_where_nobody_is(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("never read"))
    mxlab("scenario", "new", "quiet")
    assert "title: Quiet" in (own / "quiet" / "scenario.yaml").read_text()
