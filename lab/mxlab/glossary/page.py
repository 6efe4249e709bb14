"""The glossary as a page of Markdown: docs/glossary.md. Pure."""

from collections.abc import Iterator, Mapping

from mxlab.glossary.codes import CLASSES, ENHANCED, REPLY
from mxlab.glossary.entry import Term

_HEAD = """# Glossary

Made by `mxlab explain --markdown`. At a terminal `mxlab explain TERM` shows one entry; it knows
reply codes (`mxlab explain 451`), enhanced codes (`4.4.1`), checks, events, faults, steps,
conditions and scenarios too, and `--here` fills in the names of the lab that is up. Entries of your
own stand in a folder that MXLAB_GLOSSARY names, a YAML file each, with the keys `term`, `meaning`,
`also`, `like`, `see`, `do`, `section`, `mistake`, `related` and `scenarios`; one with the name of
ours takes its place.
"""


def markdown(glossary: Mapping[str, Term]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_entries(glossary), *_codes()]) + "\n"


def _entries(glossary: Mapping[str, Term]) -> Iterator[str]:
    for name, entry in glossary.items():
        yield f"## {entry.term}\n"
        yield f'<a id="{name}"></a>\n{entry.meaning}\n'
        if entry.like:
            yield f"> {entry.like}\n"
        if entry.see:
            yield "```console\n" + "\n".join(f"$ {one}" for one in entry.see) + "\n```\n"
        parts = [f"- In practice: {entry.do}"] if entry.do else []
        parts += [f"- A mistake: {entry.mistake}"] if entry.mistake else []
        parts += [f"- {entry.section}"] if entry.section else []
        if entry.related:
            links = (f"[{glossary[one].term}](#{one})" for one in entry.related if one in glossary)
            parts.append(f"- See also: {', '.join(links)}")
        if entry.scenarios:
            stories = (f"[{one}](../scenarios/{one}/README.md)" for one in entry.scenarios)
            parts.append(f"- Scenarios: {', '.join(stories)}")
        yield "\n".join(parts) + "\n"


def _codes() -> Iterator[str]:
    yield "## Reply codes\n\n| code | meaning |\n|---|---|"
    yield "\n".join(f"| {code} | {text} |" for code, text in REPLY.items()) + "\n"
    classes = "; ".join(f"{number}: {text}" for number, text in CLASSES.items() if number != 3)
    yield f"## Enhanced status codes\n\nThe first number is the class. {classes}\n"
    yield "| subject and detail | meaning |\n|---|---|"
    yield "\n".join(f"| X.{code} | {text} |" for code, text in ENHANCED.items())
