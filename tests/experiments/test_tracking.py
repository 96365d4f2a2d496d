"""Where a run's numbers go: the local file always, W&B offline unless the user is logged in. What starts W&B (2 seconds each) is a process
of its own at a terminal, with a home of its own, a proxy that notes who knocks and an audit hook that notes who is called."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agents.stages import staged, times_begun_anew
from experiments import report_curves
from experiments.progress import Progress
from experiments.tracking import Tracker, logged_in

ROOT = Path(__file__).parents[2]
SECRET = "planted-4f1d8c0b7e2a9365d41c8b7a6e5f4d3c2b1a0f9e"
RUN = """
import json, sys
from pathlib import Path

called = []


def note(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        called.append(repr(arguments[1]))
    if event == "socket.getaddrinfo":
        called.append(repr(arguments[0]))


sys.addaudithook(note)

from experiments.tracking import Tracker

tracker = Tracker(Path(sys.argv[1]), "a run", {"seed": 3, "judge": "openai:m@https://me:planted-4f1d8c0b7e2a9365d41c8b7a6e5f4d3c2b1a0f9e@host/v1"}, True)
for step in range(3):
    tracker.log(step, reward=step / 2)
tracker.summarise({"best": 1.0})
tracker.table("conversations", ["who", "conversation"], [["parrot", "user: <script>alert(1)</script>"]])
tracker.page("report", "<!doctype html><p>a page</p>")
weights = Path(sys.argv[1]) / "weights.safetensors"
weights.write_bytes(b"0123456789" * 50)
tracker.artefact("a director", {"ppo/weights.safetensors": weights})
mode = tracker._run.settings.mode
tracker.close()
print("SEEN", json.dumps({"mode": mode, "called": called}))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment that says nothing of W&B."""
    for name in [name for name in os.environ if name.startswith("WANDB_") or name == "NETRC"]:
        monkeypatch.delenv(name)
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


# ---------------------------------------------------------------------- the local file


@pytest.mark.parametrize(("use_wandb", "mode"), [(False, None), (False, "online"), (True, "disabled")])
def test_without_wandb_there_is_the_file_alone(
    use_wandb: bool, mode: str | None, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is not None:
        monkeypatch.setenv("WANDB_MODE", mode)
    folder = tmp_path / "deep" / "run"
    tracker = Tracker(folder, "a run", {"seed": 3}, use_wandb)
    tracker.log(1, reward=0.5, loss=2)
    assert rows(folder) == [{"step": 1, "reward": 0.5, "loss": 2}]  # written at once: a run that is killed keeps its numbers
    tracker.log(2, reward=0.75)
    tracker.summarise({"best": 0.75})
    tracker.close()
    assert rows(folder) == [{"step": 1, "reward": 0.5, "loss": 2}, {"step": 2, "reward": 0.75}]
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.jsonl", "took.json"] and list(home.iterdir()) == []


def test_a_run_that_goes_on_keeps_what_it_had(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = Tracker(tmp_path, "a run", {}, False)
        tracker.log(step, reward=0.5)
        tracker.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_step_that_is_taken_again_is_not_written_again(tmp_path: Path) -> None:
    first = Tracker(tmp_path, "a run", {}, False)
    for step in (1, 2):
        first.log(step, reward=step / 2)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "rew')  # where it was killed
    again = Tracker(tmp_path, "a run", {}, False)
    for step in (2, 3):
        again.log(step, reward=step / 2)
    assert rows(tmp_path) == [{"step": step, "reward": step / 2} for step in (1, 2, 3)]


def test_stages_go_on_counting_where_they_were(tmp_path: Path) -> None:
    for last in (2, 3):  # the second process begins a step before the first one's end
        with Progress(Tracker(tmp_path, "a run", {}, False), {"sft": 3, "grpo": 3}) as progress:
            for step in range(last - 1, last + 1):
                progress("sft")(step, {"loss": 0.5})
    progress("grpo anchor")(1, {"loss": 0.25})
    seen = [(row["step"], row.get("sft/step"), row.get("grpo anchor/step")) for row in rows(tmp_path)]
    assert seen == [(1, 1, None), (2, 2, None), (3, 3, None), (4, None, 1)]


def test_a_stage_that_is_begun_anew_says_all_that_it_does(tmp_path: Path) -> None:
    """Three steps under one setting are put aside; the second training is stopped after two of its own, and goes on from its first."""

    def train(rate: float, steps: range, stop: bool) -> None:
        with Progress(Tracker(tmp_path, "a run", {}, False), {"sft": 4}) as progress:
            report = progress("sft")  # some stages ask for it before they begin

            def work(out: Path) -> dict[str, float]:
                for step in steps:
                    report(step, {"loss": rate})
                if stop:
                    raise KeyboardInterrupt
                return {}

            staged(tmp_path / "sft", {"rate": rate}, work)

    for rate, steps in ((0.5, range(1, 4)), (0.25, range(1, 3))):
        with pytest.raises(KeyboardInterrupt):
            train(rate, steps, True)
    train(0.25, range(2, 5), False)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    seen = [(row["sft/step"], row["sft/loss"], row.get("sft/anew")) for row in found]
    assert seen == [(i, 0.5, None) for i in (1, 2, 3)] + [(i, 0.25, 1) for i in (1, 2, 3, 4)]
    assert [p["loss"] for p in report_curves.stages(found)["sft"]] == [0.25] * 4  # those of the training that there is


def test_what_a_stage_is_part_of_begins_it_anew_too(tmp_path: Path) -> None:
    seen: list[int] = []

    def inner(out: Path) -> dict[str, float]:
        seen.append(times_begun_anew())
        raise KeyboardInterrupt

    def outer(rate: float) -> None:
        with pytest.raises(KeyboardInterrupt):
            staged(tmp_path / "outer", {"rate": rate}, lambda out: staged(out / "inner", {}, inner))

    for rate in (0.5, 0.5, 0.25, 0.125, 0.125):
        outer(rate)
    assert seen == [0, 0, 1, 2, 2] and times_begun_anew() == 0


def test_without_the_package_there_is_the_file_alone(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    tracker = Tracker(tmp_path / "run", "a run", {}, True)
    tracker.log(1, reward=0.5)
    tracker.close()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["metrics.jsonl", "took.json"]


# ---------------------------------------------------------------------- W&B, offline


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[Any]]]:
    """The address of a proxy that lets nobody through, and who has knocked."""
    knocks: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    knocks.append(connection.recv(200))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", knocks
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def at_a_terminal(folder: Path, home: Path, proxy: str, **environment: str) -> tuple[str, dict[str, Any]]:
    """(what is printed, what the run has seen) of a run whose input is a terminal at which nobody answers: a question would hang it."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment}
    variables |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), proxy)
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(folder)],
            env=variables, cwd=folder.parent, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stdout
    printed, _, seen = done.stdout.partition("SEEN ")
    return printed, json.loads(seen.splitlines()[0])


def everything(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("environment", "netrc"),
    [
        ({"OPENAI_API_KEY": SECRET, "HF_TOKEN": SECRET, "SOME_SERVICE_API_KEY": SECRET}, None),
        ({"WANDB_API_KEY": SECRET, "WANDB_MODE": "offline"}, None),
        ({}, b"\xff\xfe no netrc"),
    ],
    ids=["no login", "a key, and offline all the same", "a damaged netrc"],
)
def test_wandb_offline_asks_nothing_and_tells_nobody(
    environment: dict[str, str], netrc: bytes | None, tmp_path: Path, home: Path, proxy: tuple[str, list[Any]]
) -> None:
    if netrc is not None:
        (home / ".netrc").write_bytes(netrc)
    folder = tmp_path / "run"
    printed, seen = at_a_terminal(folder, home, proxy[0], **environment)
    assert seen["mode"] == "offline"
    assert rows(folder) == [{"step": step, "reward": step / 2} for step in range(3)]
    (kept,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    said = kept.read_bytes()
    assert b"reward" in said and b"a-run-" in said and b"-a-director" in said and b"ppo/weights.safetensors" in said
    (table,) = kept.parent.glob("files/media/table/conversations_*.table.json")
    assert json.loads(table.read_text())["data"] == [["parrot", "user: <script>alert(1)</script>"]]  # text, of which nothing is made
    (page,) = kept.parent.glob("files/media/html/report_*.html")
    assert page.read_text() == "<!doctype html><p>a page</p>"
    assert "login" not in printed.lower() and "api key" not in printed.lower() and "wandb.ai" not in printed
    # its own second process is called on this machine; nobody asks the proxy to be let out
    abroad = [address for address in seen["called"] if not address.startswith(("'/", "b'", "('127.0.0.1'", "'127.0.0.1'"))]
    assert seen["called"] and abroad == [] and proxy[1] == []
    written = {**everything(folder), **everything(home)}
    assert [p for p, content in written.items() if content == b"0123456789" * 50] == [folder / "weights.safetensors"]  # and no copy of it
    assert len(written) > 2 and [str(p) for p, content in written.items() if SECRET.encode() in content] == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "run"]


# ---------------------------------------------------------------------- who is logged in

KEY = "password " + SECRET
NETRCS = {
    "a login": (f"machine api.wandb.ai login user {KEY}".encode(), True),
    "a login among others": (f"machine example.org login a password b\nmachine api.wandb.ai\n  login user\n  {KEY}\n".encode(), True),
    "another host": (f"machine example.org login user {KEY}".encode(), False),
    "a host of a like name": (f"machine wandb.example.org login user {KEY}".encode(), False),
    "no password": (b"machine api.wandb.ai login user", False),
    "nothing but the host": (b"machine api.wandb.ai", False),
    "empty": (b"", False),
    "half a word": (b"machine", False),
    "gibberish": (b"gibberish { ] \x00 \n\n", False),
    "an open quote": (b'machine api.wandb.ai login "user', False),
    "an endless macro": (b"macdef init\nmachine api.wandb.ai login user password x", False),
    "no text": (b"\xff\xfe\x00\x81 not utf-8", False),
    "another encoding": (b"machine example.org login user password p\xe4ss", False),
}


@pytest.mark.parametrize(("content", "found"), NETRCS.values(), ids=NETRCS)
def test_a_netrc_is_read_or_left_alone(content: bytes, found: bool, home: Path) -> None:
    """Only a key that W&B would take is a login: with anything less an online run would stop to ask for one."""
    (home / ".netrc").write_bytes(content)
    (home / ".netrc").chmod(0o600)
    assert logged_in() is found


def test_what_wandb_login_writes_is_a_login(home: Path) -> None:
    """The host is the installed version's own: it was `api.wandb.ai` for long, and is another one since 0.31."""
    host = urlsplit(pytest.importorskip("wandb").Settings().base_url).netloc
    (home / ".netrc").write_text(f"machine {host}\n  login user\n  {KEY}\n")
    (home / ".netrc").chmod(0o600)
    assert logged_in() is True


def test_no_netrc_or_one_that_cannot_be_read_is_no_login(home: Path) -> None:
    assert logged_in() is False
    (home / ".netrc").mkdir()
    assert logged_in() is False


@pytest.mark.parametrize(("key", "found"), [(SECRET, True), ("", False)])
def test_a_key_in_the_environment_is_a_login(key: str, found: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    assert logged_in() is found
