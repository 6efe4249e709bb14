"""YAML text as a tree whose every node knows its line, and trees read into typed structs.

Every error is a ScenarioError with file, line, column and the key. Nothing is guessed: no repeated
keys, no unknown keys, no text where a number belongs.

Long: what makes a tree, and what reads one, share how a mistake is placed.
"""

import functools
import math
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import msgspec
import yaml

from mxlab.errors import Mistakes, ScenarioError, nearest
from mxlab.model.duration import Seconds, parse_duration
from mxlab.scenario.bounds import OutOfBounds, compose
from mxlab.typed import say_of, shown, unmatched

Reader = Callable[["Tree"], Any]
_NOT_A_VALUE = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, yaml.YAMLError)
_LARGEST = 2**63  # what a node's configuration can hold


class Tree:
    """One node of a YAML document; `name` is the key or the place by which errors call it."""

    def __init__(self, node: yaml.Node, file: str, name: str) -> None:
        self.node, self.file, self.name = node, file, name
        self.line: int = node.start_mark.line + 1
        self._items: dict[str, tuple[Tree, Tree]] | None = None

    def fail(self, message: str, hint: str = "") -> NoReturn:
        raise self.error(message, hint)

    def error(self, message: str, hint: str = "") -> ScenarioError:
        """The error that says so of this place."""
        mark = self.node.start_mark
        text = f"`{self.name}`: {message}" if self.name else message
        return ScenarioError(
            text, file=self.file, line=mark.line + 1, column=mark.column + 1, hint=hint
        )

    def items(self) -> dict[str, tuple["Tree", "Tree"]]:
        """The entries of a mapping: key -> (the key itself, its value)."""
        if self._items is None:
            self._items = self._read_items()
        return self._items

    def _read_items(self) -> dict[str, tuple["Tree", "Tree"]]:
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"expected a mapping (key: value), not {self._shape()}")
        found: dict[str, tuple[Tree, Tree]] = {}
        for key_node, value_node in self.node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                Tree(key_node, self.file, self.name).fail("a key must be a word")
            name = key_node.value
            key = Tree(key_node, self.file, name)
            if name == "<<":
                key.fail("merge keys are not read here", "write out what is meant")
            if name in found:
                key.fail(f"the key stands here twice, first in line {found[name][0].line}")
            found[name] = (key, Tree(value_node, self.file, name))
        return found

    def elements(self) -> list["Tree"]:
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail(f"expected a list (lines that start with -), not {self._shape()}")
        return [
            Tree(node, self.file, f"{self.name}[{number}]")
            for number, node in enumerate(self.node.value, 1)
        ]

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_text(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode)

    def plain(self) -> Any:
        """The value as Python data."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, (_, value) in self.items().items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [element.plain() for element in self.elements()]
        try:
            value = _Values.construct_scalar_as_value(self.node)
        except _NOT_A_VALUE as error:
            kind = self.node.tag.removeprefix("tag:yaml.org,2002:")
            text = f"`{self.name}`: {shown(self.node.value)} cannot be read as `{kind}`"
            raise _error(text, self.file, self.node.start_mark) from error
        if isinstance(value, float) and not math.isfinite(value):
            self.fail("a number must be finite")
        if isinstance(value, int) and abs(value) >= _LARGEST:
            self.fail(f"a whole number must be below {_LARGEST}")
        return value

    def words(self) -> list[str]:
        """Every key and value below, as it is written."""
        if isinstance(self.node, yaml.ScalarNode):
            return [self.node.value]
        found: list[str] = []
        left = [self.node]
        while left:
            node = left.pop()
            if isinstance(node, yaml.ScalarNode):
                found.append(node.value)
            elif isinstance(node, yaml.MappingNode):
                left += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                left += node.value
        return found

    def at(self, path: Iterable[str | int]) -> "Tree":
        """The node to which a path of keys and numbers leads, as far as it leads."""
        here = self
        for part in path:
            if isinstance(part, str) and here.is_mapping and part in here.items():
                here = here.items()[part][1]
            elif isinstance(part, int) and isinstance(here.node, yaml.SequenceNode):
                here = here.elements()[part]
            else:
                break
        return here

    def _shape(self) -> str:
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        return "a list" if isinstance(self.node, yaml.SequenceNode) else repr(self.node.value)


class _Values(yaml.SafeLoader):
    @classmethod
    def construct_scalar_as_value(cls, node: yaml.Node) -> Any:
        return cls("").construct_object(node, deep=True)


def parse(text: str, file: str) -> Tree:
    """The tree of a YAML document. Raises ScenarioError."""
    try:
        node = compose(text)
    except OutOfBounds as error:
        raise _error(str(error.problem), file, error.problem_mark) from error
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        wrong = _error(f"not YAML: {problem}", file, mark)
        line = "".join(text.splitlines()[wrong.line - 1 : wrong.line])
        if re.search(r"[:-] +\{\w+\} *[^ #,}\]]", line):
            wrong.hint = "a text that begins with { stands between quotes"
        raise wrong from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        raise ScenarioError(
            f"not YAML: U+{ord(text[error.position]):04X} cannot stand in a file as it is",
            file=file,
            line=before.count("\n") + 1,
            column=error.position - before.rfind("\n"),
            hint='between double quotes it can be written by its code, as "\\x1b"',
        ) from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"not YAML: {error}", file=file) from error
    if node is None:
        raise ScenarioError("the file is empty", file=file, hint="start with `mxlab: 1`")
    return Tree(node, file, "")


def _error(text: str, file: str, mark: yaml.Mark | None) -> ScenarioError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return ScenarioError(text, file=file, line=line, column=column)


def read_struct(
    tree: Tree,
    kind: type[Any],
    special: dict[str, Reader],
    *,
    extra: Iterable[str] = (),
    hidden: Iterable[str] = (),
) -> dict[str, Any]:
    """The fields of struct `kind` in a mapping, as keyword arguments, by field name: as
    `read_fields`, but raises ScenarioError with all mistakes."""
    values, mistakes = read_fields(tree, kind, special, extra=extra, hidden=hidden)
    mistakes.check()
    return values


def read_fields(
    tree: Tree,
    kind: type[Any],
    special: dict[str, Reader],
    *,
    extra: Iterable[str] = (),
    hidden: Iterable[str] = (),
) -> tuple[dict[str, Any], Mistakes]:
    """The fields that could be read, and the mistakes in the others.

    `special` reads the fields that need more than a type; keys in `extra` are allowed and left to
    the caller, fields in `hidden` are for no file to give.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    allowed = {key for key, f in fields.items() if f.name not in hidden}
    values: dict[str, Any] = {}
    mistakes, given = Mistakes(), set[str]()
    for key, (key_tree, value) in tree.items().items():
        with mistakes.noted():
            if key in allowed:
                given.add(key)
                field = fields[key]
                reader = special.get(field.name)
                values[field.name] = reader(value) if reader else read_value(value, field.type)
            elif key not in extra:
                given.add(nearest(key, allowed))
                unknown_key(key_tree, [*allowed, *extra])
    for key, field in fields.items():
        if field.required and key in allowed and key not in given:
            mistakes.add(tree.error(f"the key `{key}` is missing"))
    return values, mistakes


def read_duration(tree: Tree) -> float:
    """A duration with its unit, as lab seconds."""
    text = tree.plain()
    if not isinstance(text, str):
        tree.fail(f"{text!r} is no duration: it lacks its unit", "write 500ms, 60s, 2h or 5d")
    try:
        return parse_duration(text)
    except ValueError as error:
        tree.fail(str(error))


def read_value(tree: Tree, kind: Any) -> Any:
    """A value of type `kind`: a duration, a struct, a mapping, a tuple, or what msgspec can check
    by itself."""
    if Seconds in (kind, *typing.get_args(kind)):
        return read_duration(tree)
    bare = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return bare(**read_struct(tree, bare, {}))
    if isinstance(tree.node, yaml.MappingNode):
        structs = [arm for arm in typing.get_args(bare) if isinstance(arm, type)]
        structs = [arm for arm in structs if issubclass(arm, msgspec.Struct)]
        if len(structs) == 1:  # it may also be left out
            return structs[0](**read_struct(tree, structs[0], {}))
        if typing.get_origin(bare) is dict:
            return _read_mapping(tree, kind, typing.get_args(bare)[1])
    if isinstance(tree.node, yaml.SequenceNode):
        for arm in (bare, *typing.get_args(bare)):
            if typing.get_origin(arm) is tuple and typing.get_args(arm)[1:] == (...,):
                of = typing.get_args(arm)[0]
                values = tuple(read_each(tree, functools.partial(read_value, kind=of)))
                _check(tree, msgspec.to_builtins(values), kind)  # how many there are
                return values
    if tree.plain() is None:
        tree.fail("expected a value, not nothing")
    return _check(tree, tree.plain(), kind)


def _read_mapping(tree: Tree, kind: Any, of: Any) -> dict[str, Any]:
    values, mistakes = dict[str, Any](), Mistakes()
    for key, (_, value) in tree.items().items():
        with mistakes.noted():
            values[key] = read_value(value, of)
    mistakes.check()
    _check(tree, values, kind)  # how many there are
    return values


def read_each(tree: Tree, reader: Reader) -> list[Any]:
    """The elements of a list. Raises ScenarioError, with the mistakes in all of them."""
    found, mistakes = [], Mistakes()
    for element in tree.elements():
        with mistakes.noted():
            found.append(reader(element))
    mistakes.check()
    return found


def _check(tree: Tree, value: Any, kind: Any) -> Any:
    try:
        checked = msgspec.convert({"value": value}, _box(kind), strict=True).value
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        numbers = [int(number) for number in re.findall(r"\[(\d+)\]", path)]
        where = tree.at(numbers)
        where.fail(*say_of(text, kind, where.plain()))
    if wrong := unmatched(value, kind):
        tree.fail(wrong)
    return checked


@functools.cache
def _box(kind: Any) -> Any:
    """A struct around `kind`: msgspec 0.22 crashes when it converts to one bare type repeatedly."""
    return msgspec.defstruct("Box", [("value", kind)])


def unknown_key(key: Tree, known: Iterable[str]) -> NoReturn:
    """Refuse a key, with the nearest that is known."""
    names = sorted(known)
    near = nearest(key.name, names)
    hint = f"did you mean `{near}`? " if near else ""
    key.fail("unknown key", hint + f"known here: {', '.join(names)}")
