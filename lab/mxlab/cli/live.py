"""What a run shows on standard error while it goes on, and the questions it asks.

At a terminal a wait is one line that changes; elsewhere it is a line only where it lasts.
"""

import asyncio
import signal
import sys

from mxlab.cli.layout import shortened
from mxlab.cli.output import PROGRESS_SECONDS, note, width
from mxlab.model.duration import format_duration
from mxlab.model.step import AnyStep, Ask
from mxlab.runner.progress import (
    Asked,
    Gone,
    Interrupted,
    NotAsked,
    Phase,
    Seen,
    StepBegan,
    StepEnded,
    Update,
    WaitBegan,
)
from mxlab.visible import visible

INDENT = " " * 8
GO_ON = "(Enter to go on) "
ANSWER = "your answer> "


def can_ask() -> bool:
    """Whether somebody sits where the questions appear and answers are typed."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def tell(update: Update) -> None:
    """The steps, what came of each, and how a run ended that was interrupted. A
    `mxlab.runner.progress.Report` without a clock: also for the simulation."""
    match update:
        case StepBegan(number=number, total=total, text=text, say=said):
            head = f"[{number}/{total}] "
            note(head + (said if said is not None else text), hang=len(head))
        case StepEnded() as ended:
            _tell_end(ended)
        case Asked(ask=ask, right=right):
            said = "right" if right else f"no: {ask.answer}. {ask.hint}".rstrip()
            note(INDENT + said, hang=len(INDENT))
        case NotAsked():
            note(f"{INDENT}(not asked: nobody sits at a terminal)", hang=len(INDENT))
        case Interrupted(done=done, total=total, sent=sent) as so_far:
            held = _held(so_far.queues)
            fates = f"{so_far.delivered} delivered, {so_far.bounced} bounced, queued {held}"
            note(f"mxlab: interrupted after {done} of {total} steps, nothing is judged; undoing")
            note(f"       of {sent} sent (message and recipient): {fates}")
        case Gone(lab=lab):
            note(f"mxlab: the lab {lab!r} is gone")
        case _:
            pass


def _tell_end(ended: StepEnded) -> None:
    took = format_duration(round(ended.seconds, 2))
    if abs(ended.seconds - ended.real) > 0.1:
        took += f" of lab time, {ended.real:.1f} s"
    if ended.failure:
        note(f"{INDENT}✗ FAILED after {took}: {ended.failure}", hang=len(INDENT) + 2, mark="✗")
    else:
        note(f"{INDENT}✓ {took}", mark="✓")


def _held(queues: dict[str, int]) -> str:
    return " ".join(f"{node}:{count}" for node, count in queues.items() if count) or "nothing"


class Live:
    """A `mxlab.runner.progress.Report` for real time. Close it when the run is over."""

    def __init__(self) -> None:
        self._columns = width(sys.stderr)
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    def __call__(self, update: Update) -> None:
        match update:
            case Phase(text=text):
                self._later(text)
            case WaitBegan(text=text, seconds=seconds):
                self._later(f"{text} (at most {format_duration(seconds)})")
            case Seen(text=text, queues=queues):
                self._now(f"{text}  queued {_held(queues)}")
            case _:
                self.close()
                tell(update)

    def close(self) -> None:
        """Say nothing more of what was going on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False

    def _later(self, text: str) -> None:
        """Say it if it still goes on in a second."""
        self.close()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PROGRESS_SECONDS, self._line, text)

    def _line(self, text: str) -> None:
        if self._columns is not None:
            self._now(text)
        else:
            note(f"{INDENT}{text} ...", hang=len(INDENT))

    def _now(self, text: str) -> None:
        """Only at a terminal: in the place of what stood there."""
        if self._columns is not None:
            line = shortened(INDENT + visible(text), self._columns - 1)
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._open = True


async def ask(question: Ask) -> str:
    """Await the answer of whoever sits at the terminal, where the question stands already; an
    interrupt ends the wait."""
    _prompt(ANSWER)
    return await _line()


async def ask_at_once(question: Ask) -> str:
    """As `ask`, where time stands still meanwhile: in the simulation."""
    return await _line_at_once(ANSWER)


async def enter(step: AnyStep) -> None:
    """Wait for Enter before a step."""
    _prompt(GO_ON)
    await _line()


async def enter_at_once(step: AnyStep) -> None:
    """As `enter`, in the simulation."""
    await _line_at_once(GO_ON)


def _prompt(text: str) -> None:
    sys.stderr.write(INDENT + text)
    sys.stderr.flush()


class _Interrupt(Exception):
    """Ctrl-C while nothing but the terminal is looked at."""


def _interrupt(*_: object) -> None:
    raise _Interrupt


async def _line_at_once(prompt: str) -> str:
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        _prompt(prompt)  # whoever reads it may interrupt at once
        return sys.stdin.readline().strip()
    except _Interrupt:
        note("")
        if not callable(before):
            raise KeyboardInterrupt from None
        before(signal.SIGINT, None)  # the loop's own: it cancels the run, which reaches us here
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never
    finally:
        signal.signal(signal.SIGINT, before)


async def _line() -> str:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not answer.done():
            answer.set_result(sys.stdin.readline().strip())

    loop.add_reader(sys.stdin, read)
    try:
        return await answer
    except asyncio.CancelledError:
        note("")  # what follows does not belong behind the prompt
        raise
    finally:
        loop.remove_reader(sys.stdin)
