"""The errors that people meet. Each says what, where, and what to do next, and has an exit code.

::

    LabError                      exit 3
    ├── UsageError                exit 2   the request makes no sense
    │   ├── UnknownName           exit 2   no such lab, node, scenario; names the nearest
    │   └── ScenarioError         exit 2   a scenario file is wrong; has file, line and column
    ├── EnvironmentProblem        exit 3   this machine cannot do it now
    │   ├── NoEngine              exit 3   no Docker engine answers, or it may not be used
    │   ├── NoImage               exit 3   the image is absent and cannot be built
    │   ├── AlreadyUp             exit 3   a lab of that name runs
    │   ├── NotUp                 exit 3   no lab of that name runs
    │   ├── SubnetClash           exit 3   no subnet is free
    │   ├── NodeFailed            exit 3   a node died; has its last lines
    │   ├── NodeUnreachable       exit 3   a node is down, paused, or does not answer
    │   └── Unsupported           exit 3   this world cannot do that fault
    ├── Damaged                   exit 4   a recording is not as it was written
    └── Refused                   exit 2   a node refused the request (its own words)
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INCONCLUSIVE = 4
EXIT_INTERRUPTED = 130


class LabError(Exception):
    """Base of all errors that mxlab raises on purpose. `hint` says what to do next."""

    exit_code = EXIT_ENVIRONMENT

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(LabError):
    """The request makes no sense as it stands."""

    exit_code = EXIT_USAGE


class UnknownName(UsageError):
    """There is no `kind` called `name`; the nearest of `known` is proposed."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = nearest(name, names)
        hint = f"did you mean {near!r}? " if near else ""
        listing = f"known: {', '.join(names)}" if names else f"there is no {kind} at all"
        super().__init__(f"no {kind} is called {name!r}", hint + listing)


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that was most likely meant, in whatever case; or nothing."""
    names = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    return names[near[0]] if near else ""


class ScenarioError(UsageError):
    """A scenario file is wrong. `line` and `column` count from 1; 0 means the whole file.
    `text` is the message without the place; `more` are the other mistakes in the file."""

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, hint: str = ""
    ) -> None:
        place = ":".join(str(part) for part in (file, line or "", column or "") if part)
        super().__init__(f"{place}: {message}" if place else message, hint)
        self.text, self.file, self.line, self.column = message, file, line, column
        self.more: tuple[ScenarioError, ...] = ()

    @property
    def every(self) -> "tuple[ScenarioError, ...]":
        """All mistakes that were found, this one first."""
        return self, *self.more

    def placeless(self, what: str = "") -> UsageError:
        """The same without lines and columns, where `what` was given in no file."""
        text = "; ".join(one.text for one in self.every)
        return UsageError(f"{what}: {text}" if what else text, self.hint)


class Mistakes:
    """Gathers what is wrong with the parts of a file, so that all of it is told at once."""

    def __init__(self) -> None:
        self.found: list[ScenarioError] = []

    def add(self, error: ScenarioError) -> None:
        """Note one, with all that it brings along."""
        self.found += error.every

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is wrong with the part that is read within is noted, and the next part read."""
        try:
            yield
        except ScenarioError as error:
            self.add(error)

    def check(self) -> None:
        """Raise the first by file and place, with the others; nothing where there are none."""
        unlike = {(e.file, e.line, e.column, e.text): e for e in self.found}
        if unlike:
            first, *more = sorted(unlike.values(), key=lambda e: (e.file, e.line, e.column))
            for error in more:
                error.more = ()
            first.more = tuple(more)
            raise first


class EnvironmentProblem(LabError):
    """This machine cannot do it, now."""


class NoEngine(EnvironmentProblem):
    """No Docker engine answers, or this user may not use it."""


class NoImage(EnvironmentProblem):
    """The image is absent and cannot be had or built."""


class AlreadyUp(EnvironmentProblem):
    """A lab of that name is up, or another `up` is at work on it."""


class NotUp(EnvironmentProblem):
    """No lab of that name is up."""


class SubnetClash(EnvironmentProblem):
    """Every candidate subnet overlaps with a network that exists."""


class NodeFailed(EnvironmentProblem):
    """A node died; the message ends with its last lines."""


class NodeUnreachable(EnvironmentProblem):
    """A node is down, paused, or does not answer its control interface."""


class Unsupported(EnvironmentProblem):
    """This backend cannot do what a scenario needs; nothing was started."""


class Damaged(LabError):
    """A recording is not as it was written: nothing can be concluded from it."""

    exit_code = EXIT_INCONCLUSIVE


class Refused(UsageError):
    """A node refused a request; the message is the node's."""


@contextmanager
def first_of_group(kind: type[Exception]) -> Iterator[None]:
    """Around a TaskGroup: of the errors of that kind, the first to happen is raised, bare.

    A group that holds anything else is left as it is: that is a bug, to be seen whole. (`except*`
    will not do: before Python 3.11.4, what is raised inside it arrives in a group of its own.)
    """
    try:
        yield
    except BaseExceptionGroup as group:
        expected, others = group.split(kind)
        if expected is None or others is not None:
            raise
        error: BaseException = expected
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
