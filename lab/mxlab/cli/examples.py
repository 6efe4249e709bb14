"""Examples in each command's `--help`, all of which a test runs.

They speak of the lab that `mxlab up` starts. Files that they name are the reader's own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

# A command's name -> command lines, each with a word on what it shows, "" where it says so itself.
EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "up": {
        "mxlab up": "dns, mx1, mx2, client",
        "mxlab up --mx 3 --domain acme.test --lab acme": "a second lab, beside it",
        "mxlab up --with mx2=postfix --backend docker": "a backup that is Postfix",
    },
    "down": {"mxlab down": "", "mxlab down --all": "every lab of this machine"},
    "status": {"mxlab status": "", "mxlab status --json": "for a program"},
    "graph": {
        "mxlab graph": "of the lab that is up",
        "mxlab graph two-domains -o lab.svg": "of a scenario, for a page or a slide",
        "mxlab graph lab.yaml --as mermaid": "of your own topology, for Markdown",
    },
    "doctor": {"mxlab doctor": "", "mxlab doctor --backend process": "of one backend only"},
    "run": {
        "mxlab run primary-outage": "on Docker, or on local processes",
        "mxlab run five-day-outage --backend sim": "five days, in a moment",
        "mxlab run no-backup --backend sim --html run.html": "with a report",
    },
    "check": {"mxlab check run.jsonl": "of `mxlab run --record run.jsonl`"},
    "judge": {"mxlab judge": "", "mxlab judge nothing-lost": "by one check only"},
    "reset": {"mxlab reset": "no mail, no faults, all nodes up"},
    "explain": {
        "mxlab explain backup-mx": "",
        "mxlab explain 451": "a reply's code",
        "mxlab explain --list": "",
    },
    "compare": {
        "mxlab compare stampede --schedule workshop,rfc --backend sim": "",
    },
    "chaos": {"mxlab chaos --runs 5 --seed 1": ""},
    "what-if": {"mxlab what-if your.zone --lasts 1h": ""},
    "audit": {
        "mxlab audit": "the lab that is up",
        "mxlab audit your.zone": "your own zone file",
    },
    "conform": {"mxlab conform --list": "", "mxlab conform --rule s-greeting": "of mxlab itself"},
    "send": {
        "mxlab send --to bob@example.test --show-dialog": "",
        "mxlab send --to bob@example.test --count 3 --wait": "",
        "mxlab send --to bob@example.test --eml mail.eml": "a message of your own",
    },
    "queue": {"mxlab queue mx2": "", "mxlab queue client --hold ALL": ""},
    "qshape": {"mxlab qshape mx2": ""},
    "flush": {"mxlab flush mx2": "", "mxlab flush --site example.test": ""},
    "etrn": {"mxlab etrn mx2": "mx1 asks mx2 for what it keeps"},
    "mailbox": {
        "mxlab mailbox": "",
        "mxlab mailbox bob@example.test --show last": "read it",
    },
    "ca": {"mxlab ca": "of a lab with `tls` or `submission` in its topology"},
    "dig": {
        "mxlab dig example.test MX": "who takes mail for it?",
        "mxlab dig mx1.example.test": "",
    },
    "route": {"mxlab route bob@example.test": ""},
    "trace": {
        "mxlab trace last": "",
        "mxlab trace bob@example.test --dialog": "with what was said",
    },
    "capture": {
        "mxlab capture run.jsonl -o run.pcapng": "of `mxlab run --record run.jsonl`",
        "mxlab capture -o lab.pcapng": "of the lab that is up, so far",
        "mxlab capture --live -o wire.pcapng --for 5s": "real packets, on Docker",
    },
    "stop": {"mxlab stop mx1": "in order"},
    "start": {"mxlab start mx1": ""},
    "kill": {"mxlab kill mx1": "as a power failure would"},
    "pause": {"mxlab pause mx1": "it hangs: connections open, and nothing comes"},
    "resume": {"mxlab resume mx1": ""},
    "shell": {"mxlab shell client": "then: dig mx example.test"},
    "exec": {"mxlab exec client dig mx example.test": ""},
    "board": {
        "mxlab board": "then open the address that it says",
        "mxlab board --openapi": "what its HTTP API can do",
    },
    "logs": {"mxlab logs mx2 -n 20": "", "mxlab logs -f": "as it happens; Ctrl-C ends it"},
    "fault": {
        "mxlab fault mx1 reply verb=RCPT code=451": "each recipient is deferred",
        "mxlab fault list": "what is broken, and what can be",
    },
    "heal": {"mxlab heal --all": ""},
    "config": {
        "mxlab config mx1": "every setting",
        "mxlab config mx1 limits.message_size=1000": "",
    },
    "scenario list": {"mxlab scenario list": ""},
    "scenario show": {"mxlab scenario show primary-outage": ""},
    "scenario schema": {"mxlab scenario schema": "for an editor that knows JSON Schema"},
    "scenario lint": {"mxlab scenario lint my-outage/scenario.yaml": ""},
    "scenario new": {"mxlab scenario new my-outage --fault kill --host mx1": ""},
    "exercise new": {"mxlab exercise new my-exercise": ""},
    "exercise lint": {"mxlab exercise lint my-exercise/exercise.yaml": ""},
    "exercise show": {"mxlab exercise show who-takes-mail": ""},
    "exercise prove": {"mxlab exercise prove who-takes-mail --seeds 1": ""},
    "exercise schema": {"mxlab exercise schema": "for an editor that knows JSON Schema"},
    "image build": {"mxlab image build": ""},
    "image save": {"mxlab image save image.tar": "for a room without internet"},
    "image load": {"mxlab image load image.tar": ""},
    "image prune": {"mxlab image prune": ""},
    "export compose": {"mxlab export compose": "", "mxlab export compose --mx 3": ""},
    "zone list": {"mxlab zone list": "", "mxlab zone list example.test": ""},
    "zone set": {"mxlab zone set acme.test acme.zone": ""},
    "zone add": {"mxlab zone add example.test. 60 IN MX 5 mx2.example.test.": ""},
    "zone remove": {"mxlab zone remove example.test. MX 20 mx2.example.test.": ""},
    "learn start": {"mxlab learn start who-takes-mail": "a lab, and the first task"},
    "learn task": {"mxlab learn task": "once more"},
    "learn answer": {"mxlab learn answer mx2": ""},
    "learn check": {"mxlab learn check": ""},
    "learn hint": {"mxlab learn hint": ""},
    "learn solution": {"mxlab learn solution --yes": ""},
    "learn skip": {"mxlab learn skip": ""},
    "learn reset": {"mxlab learn reset --task": ""},
    "learn next": {"mxlab learn next": ""},
    "learn watch": {"mxlab learn watch": "Ctrl-C ends it"},
    "learn export": {"mxlab learn export --csv": ""},
    "learn stop": {"mxlab learn stop": ""},
    "class up": {
        "mxlab class up --seats 30 --track running-a-backup": "with cards to print",
    },
    "class status": {"mxlab class status": ""},
    "class reset": {"mxlab class reset 7": "empty, but at the same task"},
    "class down": {"mxlab class down": ""},
    "class seat": {"mxlab class seat": "in a container that `class up` made"},
    "class serve": {
        "mxlab class serve --config class.json --data progress": "Ctrl-C ends it",
    },
    "class rehearse": {
        "mxlab class rehearse --config class.json --server http://lab:8000 --pace 1": "",
    },
    "class skip": {"mxlab class skip 7 locate": "seat 7 goes on after that task"},
    "class message": {"mxlab class message 'Five minutes more' --seat 7": "to seat 7"},
    "class ask": {"mxlab class ask 'Who has the mail?' --choice mx1 --choice mx2": ""},
    "class export": {"mxlab class export --csv": "for a spreadsheet"},
}
WIDEST = 78  # columns of a line of help


def add_examples(command: Any, name: str) -> None:
    """Put the examples of a command, or of all commands of a group, below its help."""
    below = getattr(command, "commands", None)
    if below is not None:
        for word, own in below.items():
            add_examples(own, f"{name} {word}")
    elif name in EXAMPLES:
        command.epilog = "\b\nExamples:\n" + "\n".join(_lines(EXAMPLES[name]))


def _lines(examples: Mapping[str, str]) -> Iterator[str]:
    """A line each, what it shows behind it where there is room, else above it."""
    room = max(map(len, examples)) + 4
    for line, shows in examples.items():
        if shows and room + len(shows) + 4 > WIDEST:
            yield f"  # {shows}"
            yield f"  {line}"
        else:
            yield f"  {line:<{room - 2}}# {shows}" if shows else f"  {line}"
