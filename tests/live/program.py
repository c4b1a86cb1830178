"""Runs a script in the live environment, and ends it when this process ends."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds until a test says that something will never happen
TAIL = 30  # lines of each log that an error shows


class LiveError(Exception):
    """The server, a node or the official client failed; shows what they said last."""


class Program:
    """A script at work in the live environment; the pipe to its stdin is its life-line."""

    def __init__(self, title: str, script: str, settings: Mapping[str, Any], folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.title = title
        self.folder = folder
        self.log = folder / "output.log"
        file = folder / "settings.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        file.chmod(0o600)
        self._closing = threading.Lock()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(environment.interpreter()), str(HERE / script), str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=surroundings(folder),
                start_new_session=True,  # Ctrl-C is for pytest, which then closes our life-line
            )

    def line(self) -> str:
        """Its next line; an error if it ends or says nothing for long."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        received = b""
        while not received.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise LiveError(f"{self.title} says nothing\n{self.tails()}")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                code = self._process.wait(PATIENCE)
                raise LiveError(f"{self.title} ended with exit code {code}\n{self.tails()}")
            received += data
        return received.decode()

    def forget_lines(self) -> None:
        """Forget what it has said so far."""
        assert self._process.stdout is not None
        while select.select([self._process.stdout], [], [], 0)[0]:
            if not os.read(self._process.stdout.fileno(), 1 << 16):
                return

    def alive(self) -> bool:
        return self._process.poll() is None

    def tails(self) -> str:
        """The last lines of all its logs."""
        return "\n".join(
            f"--- {path}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-TAIL:])
            for path in sorted(self.folder.rglob("*.log"))
        )

    def stop(self, *, hard: bool = False) -> None:
        """End it: by its life-line, or at once (`hard`) as if the power were cut."""
        with self._closing:
            if hard:
                self._process.kill()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()


def surroundings(folder: Path) -> dict[str, str]:
    """Nothing of the user's own environment: no proxies, no configuration of theirs."""
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def reserved_port() -> socket.socket:
    """A port of the system's choice that nobody else gets as long as this socket is open.

    It is bound and does not listen: whoever connects is refused, until a server binds it too and listens.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


def http(method: str, url: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
    """One request on loopback, past any proxy; a body that is no JSON is returned as text."""
    request = urllib.request.Request(url, method=method)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")
