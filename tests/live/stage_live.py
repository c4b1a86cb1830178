"""What acceptance tests stand on: a workflow in a folder, commands in their own processes, what the server has."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import federation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from federation import LiveFederation, NodeSettings, User

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PATIENCE = 90.0  # seconds until a test says that something will never happen
QUICK = "quick"  # the image of algorithms/v6_quick.py
ONLINE = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class Said:
    """What a command said, its exit code, and how long it took in seconds."""

    code: int
    out: str
    err: str
    seconds: float = 0.0

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


class Going:
    """A command that goes on."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        name = secrets.token_hex(4)
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self._began = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                words, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def said(self) -> str:
        """What it has said on stderr so far."""
        return self._err.read_text("utf-8")

    @property
    def printed(self) -> str:
        """What it has said on stdout so far."""
        return self._out.read_text("utf-8")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def until(self, text: str, *, on_stdout: bool = False) -> None:
        """Wait until it has said something; an error if it ends without."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.ended
            said = self.printed if on_stdout else self.said
            if text in said:
                return
            assert not ended, f"it ended without {text!r}:\n{self.said}\n{self.printed}"
            assert time.monotonic() < deadline, f"it never said {text!r}:\n{said}"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> Said:
        """How it ended."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.said}") from None
        return Said(code, self.printed, self.said, self.seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Forks:
    """Commands by `killing_live.py`, one after the other, that need not import everything anew."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "killing_live.py")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __call__(self, folder: Path, point: str, *words: str) -> Said:
        """A command in a folder, and how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.monotonic()
        name = secrets.token_hex(4)
        out, err = folder / f"{name}.out", folder / f"{name}.err"
        self._process.stdin.write(json.dumps([str(each) for each in (folder, out, err, point, *words)]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Said(code, out.read_text("utf-8"), err.read_text("utf-8"), time.monotonic() - began)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()


class Stage:
    """A folder with a workflow of a name that no other test has, and a federation file beside it."""

    def __init__(self, live: LiveFederation, folder: Path, *, user: User | None = None) -> None:
        self.live = live
        self.folder = folder
        self.name = f"w{secrets.token_hex(5)}"
        self.gate = folder / "gate"
        self._going: list[Going] = []
        folder.mkdir(exist_ok=True)
        self.federation_file = live.write_federation_file(
            folder / "federation.yaml", user=user, organizations=(*ONLINE, federation.OFFLINE)
        )

    def write(self, text: str, **values: object) -> None:
        """Write the workflow: all of it but its first lines; `@x@` stands for the value x, `@gate@` for the gate."""
        for key, value in {"gate": self.gate, "name": self.name, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        head = f"v6flow: 1\nname: {self.name}\nfederation: federation.yaml\n"
        (self.folder / "w.yaml").write_text(head + text, encoding="utf-8")

    def open_gate(self) -> None:
        """Whoever waits at the gate goes through, and so does whoever comes."""
        self.gate.touch()

    # -- commands

    def start(self, *words: str, quick: str | None = None) -> Going:
        """A command that goes on; `quick` is a point of `killing_live.py`, or `none` for its shorter waits alone."""
        going = Going(command(*words) if quick is None else killing(quick, *words), self.folder)
        self._going.append(going)
        return going

    def __call__(self, *words: str, quick: str | None = None) -> Said:
        """A command and how it ended."""
        return self.start(*words, quick=quick).end()

    def begin(self, *more: str, quick: str | None = None) -> Going:
        """`run` with a JSON document."""
        return self.start("run", "w.yaml", "--output", "json", *more, quick=quick)

    def run(self, *more: str, quick: str | None = None) -> Said:
        return self.begin(*more, quick=quick).end()

    @property
    def run_id(self) -> str:
        """The one run that is kept."""
        (one,) = self.run_ids
        return one

    @property
    def run_ids(self) -> list[str]:
        return sorted(path.name for path in (self.folder / ".v6flow" / "runs").glob("*"))

    # -- the server

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that runs of this workflow made, in order, with their runs."""
        path = f"/task?name={quote(f'{self.name}/%')}&include=runs&per_page=100"
        status, body = self.live.server.request("GET", path)
        assert status == 200, body
        found = [each for each in body["data"] if each["name"].startswith(f"{self.name}/")]
        return sorted(found, key=lambda each: int(each["id"]))

    def asked(self) -> dict[str, list[str]]:
        """For each `step/organization`, the statuses of the runs that it was ever sent, in order."""
        names = {id_: name for name, id_ in self.live.organization_ids.items()}
        found: dict[str, list[str]] = {}
        for task in self.tasks():
            for run in task["runs"]:
                step = task["name"].split("/")[1]
                found.setdefault(f"{step}/{names[run['organization']['id']]}", []).append(run["status"])
        return found

    def wait_for(self, wanted: dict[str, list[str]]) -> None:
        """Wait until the server has this of these."""
        found: dict[str, list[str]] = {}

        def is_so() -> bool:
            found.clear()
            found.update(self.asked())
            return all(found.get(key) == statuses for key, statuses in wanted.items())

        self.until(is_so, lambda: f"{wanted} at the server, which has {found}")

    def until(self, condition: Callable[[], bool], what: str | Callable[[], str]) -> None:
        """Look again and again until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            waited = what if isinstance(what, str) else what()
            said = "\n".join(each.said for each in self._going)
            assert time.monotonic() < deadline, f"waited in vain for {waited}\n{said}"
            time.sleep(0.05)

    def close(self) -> None:
        """End what goes on, here and at the server."""
        for going in self._going:
            if not going.ended:
                going.kill()
        self.open_gate()
        for task in self.tasks():
            if any(run["finished_at"] is None for run in task["runs"]):
                self.live.server.request("POST", "/kill/task", {"id": task["id"]})


def environment() -> dict[str, str]:
    """The environment of a child process, in which v6flow can be imported."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("V6FLOW_")}
    return {**known, "PYTHONPATH": str(PROJECT / "runner"), "PYTHONWARNINGS": "default"}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "v6flow", *words]


def killing(point: str, *words: str) -> list[str]:
    return [sys.executable, str(HERE / "killing_live.py"), point, *words]


def notes(live: LiveFederation, name: str) -> list[str]:
    """The marks that the quick algorithm left at an organization."""
    file = _note_file(live, name)
    return file.read_text("utf-8").splitlines() if file.exists() else []


def begin_quick(live: LiveFederation) -> LiveFederation:
    """The federation with nodes that have the quick image too; those that have it already go on."""
    live.server.start()
    live.stop_node(federation.OFFLINE)
    missing = []
    for name in ONLINE:
        wanted = quick_settings(live, name)
        if name in live.programs and live._alive(name) and live._settings[name] == wanted:
            continue
        live.stop_node(name)
        live._begin(name, wanted)
        missing.append(name)
    for name in missing:
        live._await(name)
    return live


def quick_settings(live: LiveFederation, name: str) -> NodeSettings:
    """The settings of a node that has the quick image, and where it leaves its marks."""
    algorithms = {**federation.ALGORITHMS, QUICK: {"package": "v6_quick", "path": str(HERE / "algorithms")}}
    environment = {"NOTE_FILE": str(_note_file(live, name))}
    return replace(live.settings(name), algorithms=algorithms, environment=environment)


def _note_file(live: LiveFederation, name: str) -> Path:
    return live.server.folder / live.name / name / "notes"


INTERRUPT, TERMINATE = signal.SIGINT, signal.SIGTERM
