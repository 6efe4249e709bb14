"""At a terminal: prompts, what came of each step, colour, a hanging indent, and Ctrl-C."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mxlab.backends.process.folder import state_root
from mxlab.cli.layout import width_of
from tests.support.command import MXLAB, SECONDS, STORY, Lab, Terminal, run

QUESTION = "Who takes the mail while mx1 is down?"
ASKING = STORY.replace(
    "steps:\n",
    f'steps:\n  - ask: {{question: "{QUESTION}", answer: mx2, hint: "Look at the MX records."}}\n',
)
HANGING = STORY.replace("\nexpect", "\n  - eventually: {within: 10h, bounced: one}\nexpect")
PAUSED = STORY.replace("\nexpect", "\n  - ask: {question: Well, answer: mx2}\nexpect")
COLOUR = re.compile(r"\x1b\[3\dm(.*?)\x1b\[0m")
MOVES = re.compile(r"\r\x1b\[K")


def plain(seen: str) -> str:
    """What stands there in the end, without colour and what was written over."""
    lines = COLOUR.sub(r"\1", seen).replace("\r\n", "\n").split("\n")
    return "\n".join(MOVES.split(line)[-1] for line in lines)


class TestAsk:
    @pytest.mark.parametrize(
        ("answer", "said"), [("mx2", "right"), ("mx1", "no: mx2. Look at the MX records.")]
    )
    def test_the_question_stands_once_and_a_prompt_awaits_the_answer(
        self, story: Path, backend: str, answer: str, said: str
    ) -> None:
        story.write_text(ASKING)
        terminal = Terminal("run", story, "--backend", backend)
        terminal.until("your answer> ")
        assert terminal.seen.endswith("your answer> ")
        terminal.press(f"{answer}\n")
        assert terminal.end() == 0, terminal.seen
        assert plain(terminal.seen).count(QUESTION) == 1
        assert f"your answer> {answer}\n        {said}\n" in plain(terminal.seen)

    def test_an_interrupt_at_the_prompt_is_130(self, story: Path, backend: str) -> None:
        story.write_text(ASKING)
        terminal = Terminal("run", story, "--backend", backend)
        terminal.until("your answer> ")
        terminal.interrupt_at_a_prompt(backend)
        assert terminal.end() == 130, terminal.seen
        assert re.search(r"your answer> (\^C)?\nmxlab: interrupted after", plain(terminal.seen))
        assert "Traceback" not in terminal.seen

    def test_without_a_terminal_it_is_passed_over_and_told(self, story: Path, backend: str) -> None:
        story.write_text(ASKING)
        said = run(story, "--backend", backend).stderr
        assert said.count(QUESTION) == 1
        assert "(not asked: nobody sits at a terminal)" in said
        assert "your answer>" not in said


def test_an_interrupt_at_a_prompt_of_scenario_new_is_130(tmp_path: Path) -> None:
    terminal = Terminal("scenario", "new", "my-outage", "--scenarios", tmp_path)
    terminal.until("Title [My outage]: ")
    terminal.press("\n")
    terminal.until("What breaks [kill]: ")
    assert "What can break: kill, stop, " in plain(terminal.seen)
    terminal.interrupt_at_a_prompt()
    assert terminal.end() == 130, terminal.seen
    assert list(tmp_path.iterdir()) == []


class TestSteps:
    @pytest.mark.parametrize("words", [(), ("--step",)])
    def test_each_step_has_its_result_and_its_time(
        self, story: Path, backend: str, words: tuple[str, ...]
    ) -> None:
        terminal = Terminal("run", story, "--backend", backend, *words)
        for _ in words * 2:
            terminal.until("(Enter to go on) ")
            terminal.press("\n")
        assert terminal.end() == 0, terminal.seen
        said = plain(terminal.seen)
        assert re.search(r"\[1/2\] send one.*\n(.*\n)?        ✓ \d+m?s", said), said
        assert re.search(r"\[2/2\] eventually.*\n(.*\n)?        ✓ \d+m?s", said), said

    def test_also_without_a_terminal(self, story: Path, backend: str) -> None:
        said = run(story, "--backend", backend).stderr
        assert len(re.findall(r"^        ✓ \d+m?s", said, re.MULTILINE)) == 2

    def test_a_step_that_fails_says_so(self, story: Path, backend: str) -> None:
        story.write_text(STORY.replace("within: 30s, delivered: one", "within: 1s, bounced: one"))
        said = run(story, "--backend", backend, code=1).stderr
        assert re.search(r"^        ✗ FAILED after 1s.*: eventually", said, re.MULTILINE), said

    def test_the_labs_name_comes_first_and_leads_into_it(self, story: Path) -> None:
        terminal = Terminal("run", story, "--backend", "process", "--step", columns=120)
        terminal.until("(Enter to go on) ")
        said = plain(terminal.seen)
        ((name, exported),) = re.findall(r"lab (\S+) \(process\); .* export MXLAB_LAB=(\S+)", said)
        assert name == exported
        assert said.index(name) < said.index("[1/2]")
        listed = subprocess.run(
            [*MXLAB, "queue", "mx2"], env=os.environ | {"MXLAB_LAB": name},
            capture_output=True, text=True, check=True, timeout=SECONDS,
        )  # fmt: skip
        assert listed.stdout == "Mail queue is empty\n"
        terminal.press("\n\n")
        assert terminal.end() == 0, terminal.seen

    def test_mxlab_lab_is_its_name_unless_that_is_up(
        self, story: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MXLAB_LAB", "mine")
        assert "lab mine (process)" in run(story, "--backend", "process", "--keep").stderr
        said = run(story, "--backend", "process").stderr
        assert "a lab 'mine' (MXLAB_LAB) is up; this run has its own" in said
        assert "lab run-" in said
        assert [folder.name for folder in state_root().iterdir()] == ["mine"]
        subprocess.run([*MXLAB, "down"], check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)


def test_an_interrupted_run_says_what_it_found_and_that_the_lab_is_gone(
    story: Path, backend: str
) -> None:
    story.write_text(HANGING if backend == "process" else PAUSED)
    terminal = Terminal("run", story, "--backend", backend, "--lab", "mine")
    terminal.until("[3/3]" if backend == "process" else "your answer> ")
    terminal.interrupt_at_a_prompt(backend)
    assert terminal.end() == 130
    said = plain(terminal.seen)
    assert "interrupted after 2 of 3 steps, nothing is judged" in said
    assert "of 1 sent (message and recipient): 1 delivered, 0 bounced, queued" in said
    assert "the lab 'mine' is gone" in said
    assert "Traceback" not in said
    assert not state_root().exists() or list(state_root().iterdir()) == []


class TestColour:
    def test_it_stands_at_a_terminal_only(self, story: Path) -> None:
        terminal = Terminal("run", story, "--backend", "sim")
        assert terminal.end() == 0
        assert {"✓", "pass", "PASSED"} <= set(COLOUR.findall(terminal.seen))
        result = run(story, "--backend", "sim")
        assert "\x1b" not in result.output
        assert {"✓", "pass", "PASSED:"} <= set(result.output.split())

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
    def test_whoever_wants_none_gets_none(self, story: Path, variables: dict[str, str]) -> None:
        terminal = Terminal("run", story, "--backend", "sim", columns=80, **variables)
        assert terminal.end() == 0
        assert not COLOUR.search(terminal.seen)
        assert "PASSED" in terminal.seen

    def test_an_empty_no_color_means_nothing(self, story: Path) -> None:
        terminal = Terminal("run", story, "--backend", "sim", NO_COLOR="")
        assert terminal.end() == 0
        assert COLOUR.search(terminal.seen)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("terminal"))
    made("up")
    made("send", "--to", "bob@example.test", "--wait", "--subject", "a subject of some length")
    yield made
    made("down")


@pytest.mark.parametrize("columns", [40, 80, 90, 100, 110, 200])
@pytest.mark.parametrize(
    "words", [("trace", "last"), ("mailbox",), ("logs",), ("queue",), ("trace", "last", "--dialog")]
)
def test_lines_fit_the_terminal_and_ids_are_whole(
    lab: Lab, words: tuple[str, ...], columns: int
) -> None:
    piped = lab(*words)
    terminal = Terminal(*words, columns=columns, **lab.environment)
    assert terminal.end() == 0
    said = plain(terminal.seen)
    for line in said.split("\n"):
        assert width_of(line) <= columns or len(line.split()) == 1, line
    assert sorted(said.split()) == sorted(piped.split())


def test_what_is_piped_is_not_broken(lab: Lab) -> None:
    events = lab("trace", "last", "--json").splitlines()
    assert len(lab("trace", "last").splitlines()) == 1 + len(events)
    assert len(lab("mailbox").splitlines()) == 1 + len(json.loads(lab("mailbox", "--json")))
