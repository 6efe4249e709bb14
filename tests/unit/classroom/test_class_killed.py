"""`mxlab class serve` in a process of its own: killed in the middle of writing, it has lost nothing
of which it said that it was kept."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import httpx
import msgspec
import pytest

from mxlab.classroom.plan import ClassPlan, make_plan, write_plan
from tests.support.classes import free_ports, progress
from tests.support.command import MXLAB

SECONDS = 60


class Serving:
    """The command, until it is killed."""

    def __init__(self, folder: Path, plan: ClassPlan, *words: str) -> None:
        (folder / "class.json").write_bytes(write_plan(plan))
        self.port = free_ports(1)[0]
        self.root = f"http://127.0.0.1:{self.port}"
        command = [*MXLAB, "class", "serve", "--config", str(folder / "class.json"), "--data",
                   str(folder / "data"), "--port", str(self.port), *words]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.root in self.process.stdout.readline()

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        code = self.process.wait(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def client(self, token: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.root, headers=headers, timeout=SECONDS)


def test_a_server_killed_in_mid_write_has_lost_nothing_that_it_had_taken(tmp_path: Path) -> None:
    plan = make_plan("killed", "store-and-forward", 4)
    server = Serving(tmp_path, plan)
    kept: dict[int, int] = {}
    enough = threading.Event()

    def seat(number: int) -> None:
        with server.client(plan.seat(number).secret) as own:
            path = f"/internal/seats/{number}/"
            registration = own.post(path + "register").json()["registration"]
            for tries in range(10_000):
                body = msgspec.json.encode(progress(1, tries=tries))
                try:
                    own.post(f"{path}progress?registration={registration}", content=body)
                except httpx.HTTPError:
                    return
                kept[number] = tries
                if tries > 30:
                    enough.set()

    seats = [threading.Thread(target=seat, args=(one.number,)) for one in plan.seats]
    for one in seats:
        one.start()
    assert enough.wait(SECONDS)
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    for one in seats:
        one.join(SECONDS)
    again = Serving(tmp_path, plan)
    try:
        for number, tries in kept.items():
            with again.client(plan.seat(number).secret) as own:
                told = own.get(f"/internal/seats/{number}/progress").json()
                tasks = told["exercises"]["it-waits-and-waits"]["tasks"].values()
                # what was on its way at the end may be there, or not
                assert max(task["tries"] for task in tasks) in (tries, tries + 1)
    finally:
        again.end(signal.SIGINT)
    assert sorted(kept) == [1, 2, 3, 4]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MXLAB, "class", *words], check=False, capture_output=True, text=True,
        timeout=SECONDS, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_teachers_commands_ask_the_server(tmp_path: Path) -> None:
    plan = make_plan("asked", "store-and-forward", 2)
    server = Serving(tmp_path, plan)
    known = {"MXLAB_CLASS": server.root, "MXLAB_CLASS_TOKEN": plan.teacher_token}
    try:
        assert run("message", "five minutes", **known).returncode == 0
        assert run("ask", "who?", "--choice", "a", "--choice", "b", **known).returncode == 0
        with server.client(plan.seat(2).token) as pupil:
            me = pupil.get("/api/me").json()
        assert me["messages"][-1]["text"] == "five minutes"
        assert me["question"]["choices"] == ["a", "b"]
        assert json.loads(run("export", **known).stdout) == []
        assert run("export", "--csv", **known).stdout.startswith("seat,exercise,seed,task")
        for words, code, said in (
            (("skip", "9", "one"), 2, "no seat is called '9'"),
            (("skip", "1", "one"), 2, "seat 1 does not answer"),
            (("message", ""), 2, "length"),
            (("export", "--csv", "--json"), 2, "give one of them"),
        ):
            done = run(*words, **known)
            assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        wrong = run("export", **known | {"MXLAB_CLASS_TOKEN": "wrong"})
        assert wrong.returncode == 2
        assert "no token, or a wrong one" in wrong.stderr
        assert plan.teacher_token not in wrong.stderr
    finally:
        assert server.end(signal.SIGINT) == 130


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["export"], 2, "which class"),
        (["export", "--server", "nonsense", "--token", "x"], 2, "no address of a class server"),
        (["export", "--server", "http://127.0.0.1:9", "--token", "x"], 3, "does not answer"),
        (["serve", "--config", "none.json", "--data", "d"], 3, "none.json"),
        (
            ["serve", "--config", "c", "--data", "d", "--seat-url", "http://x"],
            2,
            "leads to no seat",
        ),
        (["serve", "--config", "c", "--data", "d", "--seat-url", "http://{0}{"], 2, "no seat"),
    ],
)
def test_what_makes_no_sense_is_told(words: list[str], code: int, said: str) -> None:
    done = run(*words, MXLAB_CLASS="", MXLAB_CLASS_TOKEN="")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr


def test_a_port_that_is_taken_and_a_folder_that_cannot_be_are_told(tmp_path: Path) -> None:
    plan = make_plan("taken", "store-and-forward", 1)
    server = Serving(tmp_path, plan)
    try:
        config = ["serve", "--config", str(tmp_path / "class.json")]
        taken = run(*config, "--data", str(tmp_path / "other"), "--port", str(server.port))
        assert (taken.returncode, "cannot be had" in taken.stderr) == (3, True)
        shared = run(*config, "--data", str(tmp_path / "data"), "--port", "0")
        assert (shared.returncode, "another class server" in shared.stderr) == (3, True)
        (tmp_path / "file").write_text("no folder")
        none = run(*config, "--data", str(tmp_path / "file"), "--port", "0")
        assert (none.returncode, "cannot be kept" in none.stderr) == (3, True)
    finally:
        server.end(signal.SIGINT)
