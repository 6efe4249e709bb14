"""`mxlab run`: `--step` at a terminal, `--dry-run`, which starts nothing, and steps that fail."""

from pathlib import Path

import msgspec

from mxlab.backends.process.folder import state_root
from tests.support.command import STORY, Terminal, run


def test_step_waits_for_enter_before_each_step(story: Path, backend: str) -> None:
    terminal = Terminal("run", story, "--backend", backend, "--step")
    terminal.until("(Enter to go on)")
    assert "[1/2] send one" in terminal.seen
    assert "[2/2]" not in terminal.seen
    terminal.press("\n")
    terminal.until("(Enter to go on)")
    assert "[2/2] eventually" in terminal.seen
    terminal.press("\n")
    assert terminal.end() == 0, terminal.seen
    assert "PASSED" in terminal.seen


def test_an_interrupt_while_it_waits_is_130(story: Path, backend: str) -> None:
    terminal = Terminal("run", story, "--backend", backend, "--step")
    terminal.until("(Enter to go on)")
    terminal.interrupt_at_a_prompt(backend)
    assert terminal.end() == 130, terminal.seen
    assert "Traceback" not in terminal.seen
    assert not state_root().exists() or list(state_root().iterdir()) == []


def test_step_without_a_terminal_is_2(story: Path) -> None:
    said = run(story, "--backend", "sim", "--step", code=2).stderr
    assert "--step waits for somebody at a terminal" in said


class TestDryRun:
    def test_the_plan_and_the_worlds_are_told_and_nothing_starts(self, story: Path) -> None:
        said = run(story, "--dry-run").stdout
        assert "  1. One message goes from alice@client.test" in said
        assert "docker   no: engine: no Docker engine runs at" in said
        assert "process  yes" in said
        assert "sim      yes" in said
        assert "would use: process" in said
        assert not state_root().exists()

    def test_an_obstacle_is_3(self, story: Path) -> None:
        story.write_text(STORY.replace("steps:\n", "steps:\n  - fault: {id: x, drop: mx1}\n"))
        said = run(story, "--dry-run", "--backend", "process", code=3).stdout
        assert "process  no: the process backend cannot drop a node" in said
        run(story, "--dry-run", "--backend", "sim")

    def test_a_story_for_one_world(self, story: Path) -> None:
        story.write_text(STORY.replace("steps:\n", "backends: [sim]\nsteps:\n"))
        (plan,) = msgspec.json.decode(run(story, "--dry-run", "--json").stdout)
        assert plan["worlds"]["process"] == "it is told for sim only"
        assert plan["worlds"]["sim"] == ""
        assert plan["backend"] == "sim"
        run(story, "--dry-run", "--backend", "process", code=3)

    def test_a_broken_file_is_2(self, story: Path) -> None:
        story.write_text(STORY.replace("- send", "- sned"))
        assert "story.yaml:4" in run(story, "--dry-run", code=2).stderr


class TestAStepThatFails:
    """In real processes: the lab is healed and removed all the same."""

    def test_a_python_step_that_raises_is_told_with_its_line(self, story: Path) -> None:
        wrong = "  - fault: {id: x, kill: mx1}\n  - python: extra.py:breaks\nexpect"
        story.write_text(STORY.replace("expect", wrong))
        extra = story.with_name("extra.py")
        extra.write_text("async def breaks(lab):\n    return lab.nodes['mx7']\n")
        said = run(story, "--backend", "process", code=1).stdout
        assert f"step 4: python: extra.py:breaks: KeyError: 'mx7' ({extra}:2)" in said
        assert f"({story}:7)" in said
        assert "pass  all-delivered" in said
        assert list(state_root().iterdir()) == []

    def test_an_eventually_ends_at_its_deadline_with_what_was_seen(self, story: Path) -> None:
        wrong = "within: 1s, queue: {host: mx1, count: 7}"
        text = STORY.replace("within: 30s, delivered: one", wrong)
        story.write_text(text.replace("  - even", "  - fault: {id: x, pause: mx1}\n  - even"))
        said = run(story, "--backend", "process", code=1).stdout
        assert "holds 7 messages: in the end mx1 holds 0 messages" in said
        assert list(state_root().iterdir()) == []
