"""Every command prints what messages, peers, names and files brought without letting it act.

A lab into which a sender and a server with bad intentions have put all they could is asked by every
command there is; a new command is to be added to COMMANDS.
"""

import io
import json
import re
import secrets
import smtplib
import socketserver
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from mxlab.cli import app
from tests.harm import HARM, harmful
from tests.support.command import leaves

RAW = HARM.encode("utf-8", "surrogateescape")
STORY = f"""\
mxlab: 1
title: {json.dumps("A title " + HARM.replace(chr(0xDCE9), ""))}
summary: {json.dumps("Summary " + HARM.replace(chr(0xDCE9), ""))}
steps:
  - say: {json.dumps("Look " + HARM.replace(chr(0xDCE9), ""))}
  - send: {{id: one, from: alice@client.test, to: bob@example.test}}
  - eventually: {{within: 30s, delivered: one}}
expect: [nothing-lost]
"""
EXERCISE = f"""\
mxlab: 1
exercise: {json.dumps("An exercise " + HARM.replace(chr(0xDCE9), ""))}
minutes: 1
tasks:
  - id: one
    text: {json.dumps("A task " + HARM.replace(chr(0xDCE9), ""))}
    done: {{state: {{host: mx1, is: stopped}}}}
    solution: {json.dumps(["mxlab stop mx1 " + HARM.replace(chr(0xDCE9), "")])}
"""
TASKS = f"""\
mxlab: 1
exercise: {json.dumps("A title " + HARM.replace(chr(0xDCE9), ""))}
minutes: 1
tasks:
  - id: one
    text: {json.dumps("Look " + HARM.replace(chr(0xDCE9), ""))}
    answer: {{is: {json.dumps("word " + HARM.replace(chr(0xDCE9), ""))}}}
    hints: [{json.dumps("Hint " + HARM.replace(chr(0xDCE9), ""))}]
    solution: [{json.dumps("mxlab queue " + HARM.replace(chr(0xDCE9), ""))}]
"""
GOOD = re.sub(r'"(A title|Summary|Look) .*"', r"\1", STORY)
# What is asked of each command: words, which may hold PLACES. Exempt are those whose output is not
# mxlab's but the program's inside.
COMMANDS: dict[str, list[str]] = {
    "up": ["up", "up --topology HARM", "up --domain HARM", "up --backend HARM"],
    "down": ["down --lab HARM"],
    "status": ["status", "status --lab HARM"],
    "graph": [
        "graph",
        "graph HARM",
        "graph STORY --as svg",
        "graph STORY --as mermaid",
        "graph BROKEN",
        "graph ZONE",
        "graph --as HARM",
        "graph --output HARM",
        "graph --lab HARM",
    ],
    "doctor": ["doctor", "doctor --backend HARM"],
    "run": [
        "run HARM",
        "run STORY --backend sim",
        "run GOOD --backend process --junit JUNIT --html HTML --report REPORT --record RECORD",
        "run GOOD --backend sim --bundle BUNDLE",
        "run STORY --dry-run",
        "run BROKEN",
    ],
    "ca": ["ca", "ca --lab HARM"],
    "config": [
        "config mx1",
        "config HARM",
        "config mx1 HARM",
        "config mx1 limits.message_size=HARM",
    ],
    "check": ["check RECORD", "check HARM", "check BUNDLE", "check SPOILT"],
    "judge": ["judge", "judge HARM", "judge --lab HARM"],
    "reset": ["reset --lab HARM"],
    "audit": [
        "audit",
        "audit HARM",
        "audit ZONE --origin HARM",
        "audit BROKEN",
        "audit ZONE --rule HARM",
        "audit --topology HARM",
        "audit STORY --play",
        "audit --lab HARM",
    ],
    "what-if": ["what-if HARM", "what-if ZONE --origin HARM", "what-if BROKEN"],
    "compare": [
        "compare STORY --schedule workshop,rfc --backend sim --html HTML",
        "compare HARM",
        "compare STORY --with HARM",
        "compare STORY --schedule HARM",
    ],
    "explain": ["explain HARM", "explain 451", "explain mx-record --here"],
    "conform": [
        "conform --list",
        "conform --smtp HARM",
        "conform --with HARM",
        "conform --rule HARM",
    ],
    "capture": [
        "capture RECORD -o PACKETS",
        "capture -o PACKETS --json",
        "capture SPOILT -o PACKETS",
        "capture HARM -o HARM",
        "capture --lab HARM -o PACKETS",
    ],
    "board": [
        "board --openapi",
        "board --address HARM",
        "board --token HARM",
        "board --base-path HARM",
        "board --allow-host HARM",
        "board --exercises HARM --openapi",
        "board HARM",
        "board BROKEN",
        "board HARM.jsonl",
        "board STORY --in HARM",
    ],
    "class up": [
        "class up --seats 1 --track HARM",
        "class up --seats 1 --track x --name HARM",
    ],
    "class status": ["class status HARM"],
    "class reset": ["class reset 1 --name HARM"],
    "class down": ["class down HARM"],
    "class seat": ["class seat"],
    "class serve": [
        "class serve --config HARM --data HARM",
        "class serve --config STORY --data HARM --seat-url HARM",
    ],
    "class rehearse": [
        "class rehearse --local --track HARM",
        "class rehearse --config HARM --server HARM",
    ],
    "class export": [
        "class export --server HARM --token HARM",
    ],
    "class skip": [
        "class skip 1 HARM --server http://127.0.0.1:9 --token HARM",
    ],
    "class message": [
        "class message HARM --server http://127.0.0.1:9 --token x",
    ],
    "class ask": [
        "class ask HARM --choice HARM --server http://127.0.0.1:9 --token x",
    ],
    "chaos": ["chaos --runs 1 --seed 1", "chaos --time HARM"],
    "send": [
        "send --to EVIL --wait --show-dialog --timeout 20",
        "send --to bob@example.test --subject HARM",
        "send --to bob@example.test --header HARM",
        "send --to HARM",
    ],
    "queue": ["queue", "queue HARM", "queue mx1 --hold HARM"],
    "qshape": ["qshape", "qshape HARM"],
    "flush": ["flush", "flush --site HARM"],
    "etrn": ["etrn mx2", "etrn mx2 --domain HARM"],
    "mailbox": [
        "mailbox",
        "mailbox bob@example.test",
        "mailbox HARM",
        "mailbox --show 1",
        "mailbox --show last",
    ],
    "dig": ["dig evil.test TXT", "dig evil.test MX", "dig HARM", "dig HARM HARM"],
    "route": ["route EVIL", "route bob@HARM", "route HARM"],
    "trace": ["trace last --dialog", "trace evil --dialog", "trace HARM"],
    "stop": ["stop HARM"],
    "start": ["start HARM"],
    "kill": ["kill HARM"],
    "pause": ["pause HARM"],
    "resume": ["resume HARM"],
    "logs": ["logs", "logs mx1", "logs HARM"],
    "shell": ["shell HARM"],
    "exec": ["exec HARM true"],
    "fault": ["fault list", "fault HARM kill", "fault mx1 HARM", "fault mx1 reply verb=HARM"],
    "heal": ["heal HARM"],
    "scenario list": ["scenario list --scenarios FOLDER"],
    "scenario show": ["scenario show STORY", "scenario show HARM"],
    "scenario schema": ["scenario schema"],
    "scenario lint": ["scenario lint STORY", "scenario lint BROKEN", "scenario lint HARM"],
    "scenario new": ["scenario new HARM", "scenario new x --scenarios FOLDER --title HARM"],
    "exercise new": ["exercise new HARM", "exercise new x --scenarios FOLDER --title HARM"],
    "exercise lint": ["exercise lint EXERCISE", "exercise lint BROKEN", "exercise lint HARM"],
    "exercise show": ["exercise show EXERCISE", "exercise show HARM", "exercise show BROKEN"],
    "exercise schema": ["exercise schema"],
    "exercise prove": [
        "exercise prove EXERCISE --seeds 1",
        "exercise prove BROKEN",
        "exercise prove HARM",
        "exercise prove EXERCISE --backend HARM",
    ],
    "image build": ["image build --base HARM", "image build"],
    "image save": ["image save HARM"],
    "image load": ["image load HARM"],
    "image prune": ["image prune"],
    "export compose": ["export compose", "export compose --topology HARM"],
    "zone list": ["zone list", "zone list HARM"],
    "zone set": ["zone set HARM ZONE", "zone set evil.test HARM"],
    "zone add": ["zone add HARM IN A 10.0.0.1", "zone add evil.test. IN TXT HARM"],
    "zone remove": ["zone remove HARM"],
    "learn start": ["learn start HARM", "learn start BROKEN", "learn start TASKS --lab t-harm"],
    "learn task": ["learn", "learn task"],
    "learn answer": ["learn answer HARM", "learn answer --HARM"],
    "learn check": ["learn check"],
    "learn hint": ["learn hint"],
    "learn solution": ["learn solution", "learn solution --yes"],
    "learn skip": ["learn skip"],
    "learn reset": ["learn reset --task", "learn reset"],
    "learn next": ["learn next"],
    "learn watch": ["learn watch"],
    "learn export": ["learn export --csv", "learn export"],
    "learn stop": ["learn stop"],
}
GLOBAL = ["HARM", "--HARM", "queue --HARM", "--version", "run STORY --seed HARM"]
_ZONE = """\
$ORIGIN evil.test.
@ 60 IN SOA ns.evil.test. h.evil.test. 1 1 1 1 1
@ 60 IN NS ns.evil.test.
@ 60 IN MX 10 mx.evil.test.
@ 60 IN TXT "\\027[2J\\007\\155"
mx 60 IN A ADDRESS
"""


def test_every_command_is_asked() -> None:
    assert set(leaves(typer.main.get_command(app))) == set(COMMANDS)


class _Evil(socketserver.StreamRequestHandler):
    """A server that puts what it can into every reply, and refuses every recipient."""

    def handle(self) -> None:
        self.wfile.write(b"220 evil " + RAW + b"\r\n")
        for line in self.rfile:
            code = b"550 5.1.1" if line.upper().startswith(b"RCPT") else b"250"
            self.wfile.write(code + b" ok " + RAW + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Lab:
    """The command line, on one lab of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "MXLAB_STATE_DIR": str(folder / "state"),
            "MXLAB_LEARN": str(folder / "learn"),
            "MXLAB_LAB": f"t-{secrets.token_hex(4)}",
            "MXLAB_BACKEND": "process",
            "DOCKER_HOST": f"unix://{folder}/no-engine.sock",
        }
        self.places = {
            name: str(folder / file)
            for name, file in {
                "STORY": "story.yaml", "GOOD": "good.yaml", "BROKEN": "broken.yaml",
                "EXERCISE": "exercise.yaml", "JUNIT": "junit.xml",
                "HTML": "run.html", "REPORT": "run.json", "RECORD": "run.jsonl",
                "BUNDLE": "run.zip", "SPOILT": "spoilt.zip", "PACKETS": "run.pcapng",
                "ZONE": "evil.zone", "FOLDER": "scenarios", "TASKS": "tasks.yaml",
            }.items()
        }  # fmt: skip
        self.places |= {"EVIL": "eve@evil.test", "HARM": f"/none/{HARM}"}

    def ask(self, words: str) -> Result:
        arguments = words.split()
        for place, value in self.places.items():
            arguments = [word.replace(place, value) for word in arguments]
        return CliRunner(env=self.environment).invoke(app, arguments, input="")


def spoilt_bundle() -> bytes:
    """A bundle whose manifest and names are somebody's who means harm."""
    name = "report " + HARM.replace("\udce9", "").replace("/", "").replace("\\", "")
    part = {"name": name, "size": 1, "sha256": name}
    head = {"kind": "mxlab.bundle", "format": 1, "mxlab": name, "run": name, "scenario": name}
    head |= {"backend": name, "seed": 0, "verdict": "pass", "parts": [part]}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as zipped:
        zipped.writestr("manifest.json", json.dumps(head))
        zipped.writestr(f"{name} too", b"")
    return whole.getvalue()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("harm"))
    Path(made.places["STORY"]).write_text(STORY)
    Path(made.places["GOOD"]).write_text(GOOD)
    Path(made.places["EXERCISE"]).write_text(EXERCISE)
    Path(made.places["TASKS"]).write_text(TASKS)
    Path(made.places["BROKEN"]).write_text(STORY.replace("delivered", '"del\\x1b\\u202e"'))
    Path(made.places["SPOILT"]).write_bytes(spoilt_bundle())
    folder = Path(made.places["FOLDER"]) / "evil"
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_text(STORY)
    (folder / "README.md").write_bytes(b"A lesson " + RAW)
    made.ask("up")
    status = json.loads(made.ask("status --json").stdout)
    mx1 = next(node for node in status[0]["nodes"] if node["node"] == "mx1")
    host, _, port = mx1["published"]["smtp"].partition(":")
    with smtplib.SMTP(host, int(port)) as peer:
        peer.ehlo("evil.test")
        mail = b"Subject: it %b\r\nMessage-ID: <evil%b@x>\r\n\r\nbody %b\r\n" % (RAW, RAW, RAW)
        peer.sendmail("mallory@evil.test", ["bob@example.test"], mail)
    address = f"{host.rpartition('.')[0]}.250"
    Path(made.places["ZONE"]).write_text(_ZONE.replace("ADDRESS", address))
    assert made.ask("zone set evil.test ZONE").exit_code == 0
    with _Server((address, int(port)), _Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()
    made.ask("down")
    made.ask("down t-harm")


@pytest.mark.parametrize("words", [*(w for asked in COMMANDS.values() for w in asked), *GLOBAL])
def test_its_output_is_harmless(lab: Lab, words: str) -> None:
    result = lab.ask(words)
    said = result.stdout_bytes + result.stderr_bytes
    assert not harmful(said.decode()), said
    assert "Traceback" not in result.output
    assert result.exit_code in (0, 1, 2, 3, 4)


def test_what_they_brought_is_visible(lab: Lab) -> None:
    lab.ask("send --to EVIL --wait --timeout 20")
    shown = lab.ask("mailbox bob@example.test --show 1").stdout
    assert r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt" in shown
    assert re.search(r"S: 220 evil (\?|\\x1b)\[2J", lab.ask("trace last --dialog").stdout)
    exact = json.loads(lab.ask("mailbox bob@example.test --show 1 --json").stdout)
    assert HARM.replace("\udce9", "") in exact["content"].replace("\udce9", "")


def test_the_files_are_harmless(lab: Lab) -> None:
    lab.ask(COMMANDS["run"][2])
    for name in ("JUNIT", "HTML", "REPORT"):
        assert not harmful(Path(lab.places[name]).read_text()), name
