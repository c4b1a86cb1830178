"""Two-factor log-in at a real server: the secret of the first log-in, and codes that are typed or given."""

from __future__ import annotations

import base64
import hmac
import json
import os
import pty
import re
import secrets
import select
import stat
import struct
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import stage_live
from federation import User
from stage_live import command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation, LiveServer

PATIENCE = 60.0  # seconds until a test says that something will never happen
WORKFLOW = """\
v6flow: 1
federation: federation.yaml
steps:
  wait: {task: {image: probe, method: echo, organizations: [delta]}, timeout: 10m}
outputs: {wait: "{{ steps.wait.result }}"}
"""


def code_of(secret: str) -> str:
    """The code that an authenticator app shows now, by RFC 6238."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


@contextmanager
def newcomer(server: LiveServer) -> Iterator[User]:
    """A user who has never logged in anywhere."""
    status, roles = server.request("GET", "/role?name=Researcher&per_page=100")
    assert status == 200, roles
    (role,) = [each["id"] for each in roles["data"] if each["name"] == "Researcher"]
    user = User(f"newcomer-{secrets.token_hex(3)}", f"{secrets.token_hex(8)}-Aa1")
    body = {
        "username": user.username,
        "password": user.password,
        "email": f"{user.username}@example.org",
        "firstname": "",
        "lastname": "",
        "organization_id": server.ids["organizations"]["alpha"],
        "roles": [role],
    }
    status, made = server.request("POST", "/user", body)
    assert status == 201, made
    try:
        yield user
    finally:
        assert server.request("DELETE", f"/user/{made['id']}?delete_dependents=true")[0] == 200


class Desk:
    """A folder with a federation file, where commands are given with or without a terminal."""

    def __init__(self, live: LiveFederation, folder: Path, url: str, user: User) -> None:
        folder.mkdir()
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.file = live.write_federation_file(folder / "federation.yaml", user=user, server=url)

    def environment(self, **more: str) -> dict[str, str]:
        known = {key: text for key, text in stage_live.environment().items() if key != "XDG_CONFIG_HOME"}
        return {**known, "HOME": str(self.home), **more}

    def __call__(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command without a terminal; the environment has these variables too."""
        return subprocess.run(
            command(*words),
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def at_a_terminal(self, *words: str, typed: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """The exit code, stdout and what the terminal shows; each line is typed when a question waits for it."""
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        shown, waiting, asked = "", list(typed), 0
        deadline = time.monotonic() + PATIENCE
        while child.poll() is None or select.select([ours], [], [], 0)[0]:
            assert time.monotonic() < deadline, shown
            if not select.select([ours], [], [], 0.05)[0]:
                continue
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:  # the other end is closed
                break
            if waiting and shown.count("digits): ") > asked:
                asked += 1
                os.write(ours, f"{waiting.pop(0)}\n".encode())
        os.close(ours)
        out, _ = child.communicate(timeout=PATIENCE)
        return child.returncode, out, shown


def test_a_first_log_in_and_all_later_ones(live_server: LiveServer, tmp_path: Path) -> None:
    live = live_server.plain
    with live_server.two_factor() as url, newcomer(live_server) as one, newcomer(live_server) as other:
        # the server shows the secret once: without a terminal, a file has it, and nothing else does
        desk = Desk(live, tmp_path / "one", url, one)
        said = desk("doctor", "--federation", "federation.yaml", "--output", "json")
        assert said.returncode == 4, said
        (path,) = (desk.home / ".config" / "v6flow").iterdir()
        secret = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert secret not in said.stdout + said.stderr
        (finding,) = [each for each in json.loads(said.stdout)["findings"] if each["subject"] == "log-in"]
        (line,) = re.findall(r"`(totp_secret: [^`]+)`", finding["remedy"])
        # the secret counts at once, whether it was confirmed or not
        said = desk("doctor", "--federation", "federation.yaml")
        assert said.returncode == 4, said
        assert "the server wants a two-factor code" in said.stdout
        # a code that is given, twice, as the server allows
        code = code_of(secret)
        for _ in range(2):
            said = desk("doctor", "--federation", "federation.yaml", V6FLOW_MFA_CODE=code)
            assert said.returncode == 0, said
        wrong = f"{(int(code) + 500_000) % 1_000_000:06d}"
        said = desk("doctor", "--federation", "federation.yaml", V6FLOW_MFA_CODE=wrong)
        assert (said.returncode, "set V6FLOW_MFA_CODE to a new one" in said.stdout) == (4, True), said
        # a code that is typed, at the second attempt
        typed = (wrong, code_of(secret))
        status, out, shown = desk.at_a_terminal("doctor", "--federation", "federation.yaml", typed=typed)
        assert status == 0, shown
        assert "the server does not accept this code" in shown
        assert "ok       log-in" in out
        # in the background nobody can be asked: the code goes along
        (desk.folder / "w.yaml").write_text(WORKFLOW)
        status, out, shown = desk.at_a_terminal("run", "w.yaml", "--detach", typed=(code_of(secret),))
        assert status == 0, shown
        run = out.strip()
        said = desk("cancel", run, V6FLOW_MFA_CODE=code_of(secret))
        assert said.returncode == 0, said
        said = desk("wait", run)
        assert "two-factor" not in said.stderr, said
        # what the hint says, literally
        desk.file.write_text(f"{desk.file.read_text()}{line}\n")
        assert desk("doctor", "--federation", "federation.yaml").returncode == 0
        left = b"".join(each.read_bytes() for each in desk.folder.rglob("*") if each.is_file() and each != path)
        assert secret.encode() not in left
        # at a terminal the secret is shown
        desk = Desk(live, tmp_path / "other", url, other)
        status, out, shown = desk.at_a_terminal("doctor", "--federation", "federation.yaml")
        assert status == 4, shown
        (secret,) = re.findall(r"secret: ([A-Z2-7]{32})\s", shown)
        assert "otpauth://totp/" in shown
        assert secret not in out
        status, out, shown = desk.at_a_terminal("doctor", "--federation", "federation.yaml", typed=(code_of(secret),))
        assert status == 0, shown
