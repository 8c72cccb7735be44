"""What is judged as wrong, for each check; decided without a Ray."""

from __future__ import annotations

import contextlib
import socket

import pytest

from nn_train.doctor.clocks import wrong
from nn_train.doctor.findings import OK, WARNING, Finding, judged, table
from nn_train.doctor.ports import closed, connect, listen
from nn_train.doctor.versions import differences

ALIKE = {"ray": "2.60.0", "keras": "3.15.1"}


@pytest.mark.parametrize(
    ("versions", "lines"),
    [
        ({"here": ALIKE, "a": ALIKE, "b": ALIKE}, []),
        ({"here": ALIKE, "a": ALIKE, "b": {**ALIKE, "keras": "3.14.0"}}, ["keras: 3.15.1 on here, a; 3.14.0 on b"]),
        (
            {"here": ALIKE, "a": {"ray": "missing", "keras": "missing"}},
            ["ray: 2.60.0 on here; missing on a", "keras: …"],
        ),
    ],
)
def test_versions(versions, lines):
    found = differences(versions)
    assert len(found) == len(lines)
    assert all(line.endswith("…") or line == one for line, one in zip(lines, found, strict=True))


def test_ports():
    connections = {"a": {"a": "", "b": "port 20000: timed out"}, "b": {"a": "", "b": ""}}
    assert closed(connections) == ["a to b, port 20000: timed out"]


@pytest.fixture
def closing(monkeypatch):
    """Closes what a test leaves listening: other tests look at the ports of this process."""
    made, create = [], socket.create_server

    def create_server(*arguments, **options):
        made.append(create(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(socket, "create_server", create_server)
    yield
    for server in made:
        with contextlib.suppress(OSError):  # closed by the test
            server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.usefixtures("closing")
def test_a_port_counts_as_open_only_when_the_right_process_answers():
    port = listen(None, "word")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    said = connect([("right", "127.0.0.1", port), ("nobody", "127.0.0.1", free)], "word")
    assert said == {"right": "", "nobody": f"port {free}: Connection refused"}
    assert connect([("stranger", "127.0.0.1", port)], "thing")["stranger"].startswith(f"port {port}: something else")


@pytest.mark.parametrize(
    ("offsets", "lines"),
    [
        ({"a": (0.9, 0.0), "b": (-0.9, 0.0)}, []),
        ({"a": (1.5, 0.6)}, []),  # perhaps only a slow answer
        ({"a": (5.0, 0.1), "b": (-61.0, 0.1)}, ["a: 5.0 s ahead of this machine's", "b: 61.0 s behind this machine's"]),
    ],
)
def test_clocks(offsets, lines):
    assert wrong(offsets) == lines


def test_the_table_says_everything_and_what_to_do():
    many = judged("ports", [f"{number} to b, port 1: timed out" for number in range(20)], "", "open the firewall")
    shown = table([Finding("ray", OK, ("joined",)), many, judged("clocks", ["late"], "", "chrony", result=WARNING)])
    lines = shown.splitlines()
    assert lines[0].split() == ["check", "result", "found,", "and", "what", "to", "do"]
    assert lines[1].split() == ["ray", "ok", "joined"]
    assert "and 12 more" in shown
    assert "→ open the firewall" in shown
    assert lines[-2].split() == ["clocks", "warning", "late"]
    assert max(map(len, lines)) <= 120
    assert judged("ports", [], "open", "nothing").advice == ""
