"""The guidelines as a page of Markdown, docs/operating.md, and a rule in lines. Pure."""

from collections.abc import Iterator

import yaml

from mxlab.audit.rule import LEVELS, AuditRule, RuleTry, chapters

_HEAD = """# Operating guidelines for mail exchangers

Made by `mxlab audit --markdown`. Each rule says what to do, why, what happens else (with the
scenario that shows it), and how to look for it; `mxlab audit` judges by the same rules:

```console
$ mxlab audit                      # a lab that is up: its settings, zones, faults and queues now
$ mxlab audit --topology lab.yaml  # a topology, by what a lab of it would be told
$ mxlab audit swapped-preferences  # that of a scenario; with --play, before each step of its story
$ mxlab audit example.zone         # your own zone file; --origin DOMAIN where it has no name
```

Of a zone file the text alone is read: nothing is asked of the real DNS, and no name of it comes
into a lab. What a zone does not show, such as how long a backup keeps mail, is told as *not seen*,
never as kept; so is an exchange whose name lies in another zone. To judge a whole set-up, write it
as a topology ([scenarios.md](scenarios.md)).

A finding has its rule, its place (line and column of a file; a host and its setting), what comes of
it, and how to mend it; `--json` has the same for programs. The exit code is 1 where a rule of level
error is broken, and 0 else. `--play` asks the lab's name servers before each step, which takes time
where one is dead, and draws on chance where packets are lost: a story that hangs on either may go
another way then, and ends with 4.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_levels(), *_contents(), *_chapters()]).rstrip("\n") + "\n"


def _levels() -> Iterator[str]:
    yield "| level | what it means |\n|---|---|"
    yield "\n".join(f"| {level} | {text} |" for level, text in LEVELS.items()) + "\n"


def _contents() -> Iterator[str]:
    yield "| rule | level | the scenario that breaks it |\n|---|---|---|"
    for chapter in chapters():
        for name, rule in chapter.rules.items():
            story = f"[{rule.scenario}](../scenarios/{rule.scenario}/README.md)"
            yield f"| [{name}](#{name}) | {rule.level} | {story} |"
    yield ""


def _chapters() -> Iterator[str]:
    for chapter in chapters():
        yield f"## {chapter.title}\n"
        for name, rule in chapter.rules.items():
            yield f'### {rule.title}\n\n<a id="{name}"></a>'
            yield f"**{rule.rule}** (`{name}`, {rule.level})\n"
            yield _table(rule)
            yield "```console\n" + "\n".join(_session(name, rule)) + "\n```\n"


def _table(rule: AuditRule) -> str:
    story = f"[{rule.scenario}](../scenarios/{rule.scenario}/README.md)"
    check = rule.check
    return "\n".join(
        f"- {label}: {text}"
        for label, text in (
            ("Why", rule.why),
            ("If broken", f"{rule.broken} Scenario: {story}."),
            ("Kept", rule.kept),
            ("What people see", check.symptom),
            ("How to check", f"`{check.command}`. {check.read}"),
            ("Remedy", check.remedy),
            *_products(rule),
        )
    ) + "\n"  # fmt: skip


def _products(rule: AuditRule) -> list[tuple[str, str]]:
    """The same in other words; what is the same for all, once."""
    if rule.postfix == rule.exim == rule.opensmtpd:
        return [("Postfix, Exim and OpenSMTPD", rule.postfix)]
    return [("Postfix", rule.postfix), ("Exim", rule.exim), ("OpenSMTPD", rule.opensmtpd)]


def _session(name: str, rule: AuditRule) -> Iterator[str]:
    """Broken, found, looked at and mended, at a terminal."""
    seen = rule.seen
    if seen.zone:
        yield f"$ mxlab audit example.zone --rule {name}"
        return
    if not seen.breaks and not seen.mends:
        yield f"$ mxlab audit --topology broken.yaml --rule {name}     # {_flow(seen.topology)}"
        yield f"$ mxlab audit --topology mended.yaml --rule {name}     # {_flow(seen.mended or {})}"
        return
    yield f"$ {_up(seen)}"
    yield from (f"$ {command}" for command in seen.breaks)
    yield f"$ mxlab audit --rule {name}"
    yield f"$ {rule.check.command}"
    yield from (f"$ {command}" for command in seen.mends)


def _up(seen: RuleTry) -> str:
    scale = f" --time-scale {seen.scale:g}" if seen.scale != 1 else ""
    if not seen.topology:
        return f"mxlab up{scale}"
    return f"mxlab up --topology lab.yaml{scale}     # {_flow(seen.topology)}"


def _flow(topology: dict[str, object]) -> str:
    """A topology on one line."""
    if not topology:
        return "{}"
    return yaml.safe_dump(topology, default_flow_style=True, sort_keys=False, width=10_000).strip()


def rule_lines(rule: AuditRule) -> Iterator[str]:
    """A rule for a terminal."""
    yield rule.rule
    yield f"$ {rule.check.command}"
    for label, text in (
        ("Why", rule.why), ("If broken", rule.broken), ("Kept", rule.kept),
        ("What people see", rule.check.symptom), ("How to read it", rule.check.read),
        ("Remedy", rule.check.remedy), *_products(rule), ("Scenario", rule.scenario),
        ("Level", rule.level),
    ):  # fmt: skip
        yield f"{label}: {text}"
