"""Packets from records: tshark reads SMTP and DNS out of them, and finds nothing malformed."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from mxlab.assets import assets
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load_file, loads
from mxlab_services import events
from tests.support.captures import capture, captured, recorded
from tests.support.tshark import about, amiss, fields, flagged, needs_tshark, packets, values

pytestmark = needs_tshark

SHIPPED = [
    "primary-outage",
    "tls-broken",
    "submission-needs-auth",
    "ipv6-only-primary",
    "lossy-network",
    "listener-closed",
    "primary-hang",
    "lost-ack",
    "etrn-on-return",
    "secondary-behind",
    "unreliable-dns",
    "unknown-user",
    "greylisting",
    "message-too-large",
    "tarpit",
    "two-domains",
    "bounce-undeliverable",
]
HUGE = """\
mxlab: 1
title: A huge message
steps:
  - send: {id: huge, size: 3000000, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, delivered: huge}
expect: [nothing-lost]
"""
SIX = """\
mxlab: 1
title: Six alone
topology: {ip: [6]}
steps:
  - send: {id: one, count: 3, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, delivered: one}
expect: [nothing-lost]
"""


def story(name: str) -> Path:
    return assets("scenarios") / name / "scenario.yaml"


def verbs_said(result: RunResult) -> set[str]:
    """The commands in the conversations of a run, as tshark cuts them. Without QUIT: what follows
    on a DATA that was refused after it was pipelined, it takes for the message."""
    lines = [line for told in dialogs(result) for line in told]
    commands = [line[3:] for line in lines if re.match(r"C: [A-Z]{4}", line)]
    return {command.split(" ")[0][:4] for command in commands} - {"QUIT"}


def dialogs(result: RunResult) -> list[list[str]]:
    return [
        event.body.dialog
        for event in result.trace.events()
        if isinstance(event.body, events.Tried | events.HandedIn | events.EtrnSent)
    ]


def names_asked(result: RunResult) -> set[str]:
    return {
        event.body.name.rstrip(".").lower() or "<root>"
        for event in result.trace.events()
        if isinstance(event.body, events.DnsQuery)
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_tshark_reads_a_shipped_story_and_finds_nothing_amiss(name: str, tmp_path: Path) -> None:
    result, path = captured(load_file(story(name)), tmp_path)
    assert amiss(path) == []
    assert [line for line in flagged(path) if "[TCP Retransmission] " not in line] == []
    verbs = {word[:4] for word in values(path, "smtp.req.command")}
    assert verbs >= verbs_said(result)
    asked = {word.lower() for word in values(path, "dns.qry.name")}
    assert asked >= names_asked(result)
    nodes = set(values(path, "frame.interface_name"))
    assert nodes <= set(result.trace.by_node)
    assert "Strict time order:   True" in about(path)


def test_all_is_said_to_be_made_from_a_record(tmp_path: Path) -> None:
    _, path = captured(load_file(story("primary-outage")), tmp_path)
    said = about(path)
    assert "Made by mxlab from the record of a lab, not captured from a wire" in said
    assert "Number of interfaces in file: 4" in said
    assert "Name = mx1" in said


def test_comments_name_message_queue_id_fault_and_section(tmp_path: Path) -> None:
    result, path = captured(load_file(story("primary-outage")), tmp_path)
    tried = next(
        event
        for event in result.trace.events()
        if isinstance(event.body, events.Tried) and event.body.stage == "connect"
    )
    assert isinstance(tried.body, events.Tried)
    where = f'tcp.flags.syn == 1 && frame.comment contains "{tried.body.queue_id}"'
    [first, *_] = fields(path, "frame.comment", where=where)
    assert tried.message is not None
    assert tried.message in first[0]
    assert "RFC 5321 §5.1" in first[0]
    assert "in force: fault down: kill mx1" in first[0]


def test_inside_tls_is_read_by_the_keys_and_no_password_is_there(tmp_path: Path) -> None:
    _, path = captured(load_file(story("submission-needs-auth")), tmp_path)
    inside = values(path, "smtp.req.command", where="tls")
    assert {"EHLO", "MAIL", "AUTH"} <= inside
    outside = values(path, "smtp.req.parameter", where="!tls")
    assert any(word.startswith("FROM:<alice@client.test>") for word in outside)
    assert b"correct" not in path.read_bytes()
    assert values(path, "tls.handshake.extensions_server_name") == {"client.client.test"}
    assert {"465", "587"} <= values(path, "tcp.dstport")


def test_a_refused_connection_is_a_syn_and_a_reset(tmp_path: Path) -> None:
    _, path = captured(load_file(story("listener-closed")), tmp_path)
    resets = fields(path, "tcp.stream", where="tcp.flags.reset == 1")
    assert resets
    for [stream] in resets:
        whole = fields(path, "tcp.flags.str", where=f"tcp.stream == {stream}")
        assert [row[0].strip("·") for row in whole] == ["S", "A·R"]


def test_who_hears_nothing_sends_its_syn_again(tmp_path: Path) -> None:
    lost = """\
mxlab: 1
title: Nobody answers
steps:
  - fault: {id: gone, drop: mx1}
  - send: {id: one, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 5m, queue: {host: mx2, holds: one}}
  - heal: gone
  - eventually: {within: 10m, delivered: one}
expect: [nothing-lost]
topology: {timeouts: {connect: 30s}}
"""
    _, path = captured(loads(lost, "lost.yaml"), tmp_path)
    [first, *_] = fields(path, "tcp.stream", where="tcp.analysis.retransmission")
    segments = fields(
        path, "frame.time_relative", "tcp.flags.str", where=f"tcp.stream == {first[0]}"
    )
    times = [float(row[0]) for row in segments]
    pauses = [round(b - a) for a, b in pairwise(times)]
    assert pauses == [1, 2, 4, 8]
    assert {row[1].strip("·") for row in segments} == {"S"}


def test_a_truncated_answer_is_asked_for_again_by_tcp(tmp_path: Path) -> None:
    _, path = captured(load_file(story("unreliable-dns")), tmp_path)
    truncated = fields(path, "dns.qry.name", where="udp && dns.flags.truncated == 1")
    assert truncated
    by_tcp = values(path, "dns.qry.name", where="tcp && dns.flags.response == 1")
    assert {row[0] for row in truncated} <= by_tcp


def test_a_transfer_has_the_records_of_its_zone(tmp_path: Path) -> None:
    _, path = captured(load_file(story("secondary-behind")), tmp_path)
    where = 'dns.qry.type == 252 && dns.flags.response == 1 && dns.qry.name == "example.test"'
    transfers = packets(path, where)
    assert transfers
    assert any("dns.mx.mail_exchange" in json.dumps(one) for one in transfers)


def test_a_huge_message_has_its_size_and_not_its_bytes(tmp_path: Path) -> None:
    _, path = captured(loads(HUGE, "huge.yaml"), tmp_path)
    assert amiss(path) == []
    assert flagged(path) == []
    sizes = fields(path, "tcp.len", where="ip.src == 10.53.25.5 && tcp.dstport == 25")
    assert sum(int(row[0]) for row in sizes) > 3_000_000
    assert path.stat().st_size < 1_000_000


def test_six_alone(tmp_path: Path) -> None:
    _, path = captured(loads(SIX, "six.yaml"), tmp_path)
    assert amiss(path) == []
    assert flagged(path) == []
    assert fields(path, "frame.number", where="ip") == []
    assert {"MAIL", "RCPT", "DATA"} <= values(path, "smtp.req.command")


def test_names_are_in_the_file(tmp_path: Path) -> None:
    _, path = captured(load_file(story("primary-outage")), tmp_path)
    data = path.read_bytes()
    assert b"mx1.example.test\0" in data


def test_a_kept_connection_is_one_stream(tmp_path: Path) -> None:
    result, path = captured(load_file(story("primary-outage")), tmp_path)
    kept = sum("kept connection" in told[0] for told in dialogs(result) if told)
    assert kept
    mails = fields(path, "tcp.stream", where='smtp.req.command == "MAIL"')
    streams = [row[0] for row in mails]
    assert len(streams) - len(set(streams)) == kept


def test_the_checker_sees_what_is_malformed(tmp_path: Path) -> None:
    """Spoilt on purpose: a checksum, a segment that is missing, a message cut within a name."""
    _, path = captured(load_file(story("primary-outage")), tmp_path)
    whole = path.read_bytes()
    spoilt = tmp_path / "spoilt.pcapng"
    spoilt.write_bytes(whole.replace(b"MAIL FROM", b"MAIL FR\0M", 1))
    assert flagged(spoilt) != []
    answer = whole.index(b"\x07example\x04test\x00\x00\x0f\x00\x01")
    spoilt.write_bytes(whole[:answer] + b"\xff" + whole[answer + 1 :])
    assert amiss(spoilt) != []


def test_old_recordings_without_times_ports_and_messages(tmp_path: Path) -> None:
    result, run = recorded(load_file(story("submission-needs-auth")), tmp_path)
    lines = run.read_text().splitlines()
    for number, line in enumerate(lines[1:-2], start=1):
        event = json.loads(line)
        for key in ("times", "connections", "port", "asked", "replied", "left_out", "delay"):
            event["data"].pop(key, None)
        lines[number] = json.dumps(event)
    run.write_text("\n".join(lines) + "\n")
    path = tmp_path / "old.pcapng"
    done = capture(str(run), "-o", str(path))
    assert done.exit_code == 4  # its lines are not those that were sealed
    assert amiss(path) == []
    assert flagged(path) == []
    made_up = fields(path, "frame.comment", where='frame.comment contains "made up"')
    assert any("when each line was said" in row[0] for row in made_up)
    assert {word[:4] for word in values(path, "smtp.req.command")} >= verbs_said(result)
    assert {"example.test"} <= values(path, "dns.qry.name")
