"""What a run shows on standard error while it goes on, and the questions it asks.

At a terminal a wait is one line that changes; elsewhere it is a line only where it lasts.
"""

import asyncio
import signal
import sys

from mxlab.cli.output import PROGRESS_SECONDS, note
from mxlab.model.duration import format_duration
from mxlab.model.step import AnyStep, Ask
from mxlab.progress import Asked, Phase, Seen, StepBegan, Update, Waiting
from mxlab.visible import visible

WIDTH = 100
GO_ON = "        (Enter to go on)"


class Live:
    """A `mxlab.progress.Report`. Close it when the run is over."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False
        self._waiting = ""

    def __call__(self, update: Update) -> None:
        match update:
            case Phase(text=text):
                self._later(text)
            case StepBegan(number=number, total=total, text=text, say=said):
                self.close()
                note(f"[{number}/{total}] {said if said is not None else text}")
            case Waiting(text=text, seconds=seconds):
                self._waiting = f"{text} (at most {format_duration(seconds)})"
                self._later(self._waiting)
            case Seen(text=text, queues=queues):
                held = " ".join(f"{node}:{count}" for node, count in queues.items() if count)
                self._now(f"{text}  queued {held or 'nothing'}")
            case Asked(ask=ask, right=right):
                note("        right" if right else f"        no: {ask.answer}. {ask.hint}".rstrip())
            case _:
                pass

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
        if self._terminal:
            self._now(text)
        else:
            note(f"        {text} ...")

    def _now(self, text: str) -> None:
        """Only at a terminal: in the place of what stood there."""
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K        {visible(text)}"[:WIDTH])
            sys.stderr.flush()
            self._open = True


async def ask(question: Ask) -> str:
    """Put a question to whoever sits at the terminal; an interrupt ends the wait."""
    note(f"        {question.question}")
    return await _line()


async def enter(step: AnyStep) -> None:
    """Wait for Enter before a step."""
    note(GO_ON)
    await _line()


class _Interrupt(Exception):
    """Ctrl-C while nothing but the terminal is looked at."""


def _interrupt(*_: object) -> None:
    raise _Interrupt


async def enter_at_once(step: AnyStep) -> None:
    """As `enter`, where time stands still meanwhile: in the simulation."""
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        note(GO_ON)  # whoever reads it may interrupt at once
        sys.stdin.readline()
    except _Interrupt:
        if not callable(before):
            raise KeyboardInterrupt from None
        before(signal.SIGINT, None)  # the loop's own: it cancels the run, which reaches us here
        await asyncio.get_running_loop().create_future()
    finally:
        signal.signal(signal.SIGINT, before)


def tell_steps(update: Update) -> None:
    """Progress of the steps alone."""
    if isinstance(update, StepBegan):
        note(f"[{update.number}/{update.total}] {update.say or update.text}")


async def _line() -> str:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not answer.done():
            answer.set_result(sys.stdin.readline().strip())

    loop.add_reader(sys.stdin, read)
    try:
        return await answer
    finally:
        loop.remove_reader(sys.stdin)
