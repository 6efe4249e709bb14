"""Runs to look at again: read from what a run wrote, or simulated now."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mxlab.cli.output import note
from mxlab.errors import Unsupported, UsageError

if TYPE_CHECKING:
    from mxlab.board.recorded import RecordedRun
    from mxlab.bundle.gather import Contents
    from mxlab.bundle.parts import KeptLetter
    from mxlab.runner.result import RunResult

MOST_LETTERS = 256 << 20  # bytes of messages that are kept to be shown
NOT_KEPT = (
    "it is not among the messages that lay in the mailboxes when the run ended, "
    f"or not among the first {MOST_LETTERS >> 20} MiB of them"
)


def recorded_in(path: Path) -> "RecordedRun":
    """The run in a recording or a bundle, as `mxlab check` judges it: of one that is not as it was
    written, what can be read. Raises UsageError, Damaged."""
    from mxlab.board.recorded import RecordedRun

    try:
        with path.open("rb") as file:
            is_bundle = file.read(2) == b"PK"
        data = b"" if is_bundle else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if is_bundle:
        return _bundled(path)
    from mxlab.report.recording import judge_again

    if not data:
        raise UsageError(f"{path} is empty", "`mxlab run SCENARIO --record FILE` writes one")
    result = judge_again(data, str(path))
    _warn(result)
    return RecordedRun(result)


def _bundled(path: Path) -> "RecordedRun":
    """The run in a bundle, with its messages."""
    from mxlab.board.recorded import RecordedRun
    from mxlab.bundle.letters import letters_in
    from mxlab.bundle.verify import verify
    from mxlab.errors import Damaged
    from mxlab.report.recording import HINT

    checked = verify(path)
    if checked.result is None:
        text = "; ".join(f"{one.part}: {one.text}" for one in checked.differences)
        raise Damaged(f"{path}: its run cannot be read: {text}", HINT)
    for one in checked.differences:
        note(f"mxlab: {path} is not as it was written: {one.part}: {one.text}")
    return RecordedRun(checked.result, _kept(letters_in(path)), NOT_KEPT)


def _kept(found: Iterator["tuple[KeptLetter, bytes]"]) -> dict[tuple[str, str, str], bytes]:
    """By node, mailbox and name, as many as there is room for."""
    from mxlab_services.storage.maildir import unique_name

    kept: dict[tuple[str, str, str], bytes] = {}
    room = MOST_LETTERS
    for letter, content in found:
        room -= len(content)
        if room < 0:
            break
        kept[letter.node, letter.address, unique_name(letter.name)] = content
    return kept


def simulated(name: str, folder: Path | None) -> "RecordedRun":
    """A story, played in the simulation now. Raises UnknownName, ScenarioError; Unsupported for one
    that cannot be told there."""
    import secrets

    from mxlab.backends.sim.backend import SimBackend, simulate
    from mxlab.board.recorded import RecordedRun
    from mxlab.bundle.gather import Contents
    from mxlab.cli.stories import story_file
    from mxlab.runner import runner
    from mxlab.scenario.load import load_file
    from mxlab_services.config import TimeConfig

    story = load_file(story_file(name, folder))
    note(f"{story.id}: {story.title}", hang=2)
    run_id = secrets.token_hex(4)
    with Contents() as contents:
        try:
            result = simulate(
                lambda: runner.run(
                    story,
                    SimBackend(),
                    lab=f"run-{run_id}",
                    run_id=run_id,
                    time=TimeConfig(story.time_scale),
                    witness=contents,
                )
            )
        except Unsupported as error:
            again = f"mxlab run {name} --bundle run.zip"
            raise Unsupported(str(error), f"play it there, `{again}`, and replay that") from error
        return RecordedRun(result, _kept(_letters(contents)), NOT_KEPT)


def _letters(contents: "Contents") -> Iterator["tuple[KeptLetter, bytes]"]:
    by_part = {letter.part: letter for letter in contents.letters}
    for part, content in contents.whole():
        yield by_part[part], content


def _warn(result: "RunResult") -> None:
    from mxlab.report.recording import NAME

    if damage := result.trace.damage.get(NAME):
        note(f"mxlab: the recording is not as it was written, and proves nothing: {damage}")
