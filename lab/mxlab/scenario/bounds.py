"""A YAML document within bounds: how large it may be, how deep, and how many nodes it may come to
once every alias is replaced by what it stands for.

It is counted while it is read, so that a document without end is refused at once, with its place.
JSON is YAML: a pair of surrogates is the character that it stands for (RFC 8259 §7).
"""

import re
from typing import Any

import yaml

MOST_CHARACTERS = 2_000_000
MOST_NODES = 20_000
DEEPEST = 60
_SURROGATE = re.compile("[\ud800-\udfff]")


class OutOfBounds(yaml.MarkedYAMLError):
    """The document is larger, deeper or more than a scenario can be; or no text."""


class BoundedLoader(yaml.SafeLoader):
    """Composes a document as yaml.SafeLoader does, within the bounds. Raises OutOfBounds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0  # nodes so far, with what the aliases stand for
        self._open = 0  # nodes around this place
        self._tallest = 0  # levels below this place, so far
        self._whole: dict[int, tuple[int, int]] = {}  # a node that is complete: its nodes, levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node, and all below it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark, alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        before, tallest = self._count, self._tallest
        self._tallest, self._open = 0, self._open + 1
        self._levels(mark, 1)
        node = super().compose_node(parent, index)
        self._open -= 1
        if alias:
            if id(node) not in self._whole:
                start = mark if node is None else node.start_mark
                raise OutOfBounds(None, None, "this anchor contains itself", start)
            nodes, levels = self._whole[id(node)]
            self._levels(mark, levels)
            self._count += nodes
        else:
            self._count += 1
            levels = self._tallest + 1
            self._whole[id(node)] = self._count - before, levels
        if self._count > MOST_NODES:
            what = "with what the aliases stand for, more" if alias else "more"
            text = f"{what} than {MOST_NODES} keys and values: no scenario is that large"
            raise OutOfBounds(None, None, text, mark)
        self._tallest = max(tallest, levels)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """A value, in which surrogate pairs are put together."""
        node = super().compose_scalar_node(anchor)
        if _SURROGATE.search(node.value):
            try:
                node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError as error:
                half = _SURROGATE.search(node.value)
                code = f"\\u{ord(half[0]):04x}" if half else ""
                text = f"half of a character: {code} is a surrogate without its other half"
                raise OutOfBounds(None, None, text, node.start_mark) from error
        return node

    def _levels(self, mark: yaml.Mark, more: int) -> None:
        if self._open + more - 1 > DEEPEST:
            text = f"nested more than {DEEPEST} levels deep: no scenario is"
            raise OutOfBounds(None, None, text, mark)


def compose(text: str) -> yaml.Node | None:
    """The one document in `text`; None where there is none. Raises yaml.YAMLError."""
    if len(text) > MOST_CHARACTERS:
        problem = f"longer than {MOST_CHARACTERS:,} characters: no scenario is that large"
        raise OutOfBounds(None, None, problem, None)
    loader = BoundedLoader(text)
    try:
        return loader.get_single_node()
    except (ValueError, OverflowError) as error:  # a number that no character has
        raise OutOfBounds(None, None, "there is no such character", loader.get_mark()) from error
    finally:
        loader.dispose()
