"""The words of a command line are text: names, mail and questions all go on as UTF-8."""

import os
from collections.abc import Iterable

from mxlab.errors import UsageError

HINT = "write it in UTF-8; rename a file that is called so"


def refuse_bytes(arguments: Iterable[str]) -> None:
    """Raise UsageError for an argument, or one of mxlab's variables, that is not UTF-8: Python
    hands such bytes on as lone surrogates, which nothing can encode."""
    for word in arguments:
        if not _is_text(word):
            raise UsageError(f"the argument {word!a} is not UTF-8 text", HINT)
    for name, word in os.environ.items():
        if name.startswith("MXLAB_") and not _is_text(word):
            raise UsageError(f"{name} is not UTF-8 text: {word!a}", HINT)


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
