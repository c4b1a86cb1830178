"""Log-ins at a server that wants a two-factor code: each is refused, follows what is printed, and is tried again."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

from vantage6_fake import Asked, Fake, Say, Vantage6, say

from v6flow import loading
from v6flow.backends.vantage6 import connecting, totp
from v6flow.backends.vantage6.configuration import ServerFederation
from v6flow.backends.vantage6.second_factor import VARIABLE, Person
from v6flow.backends.vantage6.session import Session
from v6flow.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD, SECRET = "somebody", "a password", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
FEDERATION = """\
v6flow_federation: 1
backend: vantage6
server: {origin}/api
collaboration: hospitals
username: {user}
password: ${{file:password}}
"""


@dataclass
class Server(Vantage6):
    """A server that sets two-factor login up for a `new` user, and wants a code that is right of every other one."""

    new: bool = False

    def __call__(self, asked: Asked) -> Say:
        """What it answers to a request."""
        if asked.path != "/api/token/user":
            return super().__call__(asked)
        code = asked.json.get("mfa_code")
        if self.new:
            return say({"otp_secret": SECRET, "msg": "Two-factor authentication is required"})
        if code is None:
            return say({"msg": "Please include your two-factor authentication code"})
        if code not in {totp.code(SECRET, time.time() - early) for early in (0, totp.PERIOD)}:
            return say({"msg": "Your two-factor authentication code is incorrect!"}, 401)
        return super().__call__(asked)


class Terminal(io.StringIO):
    """A stream of a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@dataclass(frozen=True)
class LogIn:
    """A log-in that is refused, and what is printed: `shown` finds the text to write, or the words that say what to do.

    `code` stands in V6FLOW_MFA_CODE; `new` is a user without two-factor login; where nothing `writable` is left, a new
    secret is kept in no file; and a log-in that `ends` was accepted before.
    """

    shown: str
    code: str = ""
    new: bool = False
    terminal: bool = False
    writable: bool = True
    ends: bool = False

    def printed(self, folder: Path) -> str:
        """What is printed to who logs in, at a terminal or elsewhere."""
        with self._at_server(folder, new=self.new) as (server, session):
            code = totp.code(SECRET, time.time()) if self.ends else self.code
            environ = {"HOME": str(folder if self.writable else folder / "password")}
            shown = Terminal() if self.terminal else io.StringIO()
            person = Person({**environ, VARIABLE: code}, stdin=io.StringIO(), stderr=shown)
            here = session(person)
            if self.ends:
                here.get("/run")
                server.valid.clear()
            with contextlib.nullcontext() if self.writable else _nowhere(folder):
                try:
                    here.get("/run")
                except AccessError as error:
                    return f"{shown.getvalue()}\n{error.message}\n({error.hint})"
        raise AssertionError("the log-in succeeded")

    def follow(self, printed: str, folder: Path) -> None:
        """Do what is shown, and log in again."""
        found = re.search(self.shown, printed)
        assert found, f"{self.shown} shows nothing in {printed}"
        line, environ, typed = "", {}, ""
        code = totp.code(SECRET, time.time())
        match found[1]:
            case setting if setting.startswith("totp_secret: "):
                line = setting
                if secret := re.search(r"secret: (\w+)", printed):
                    (folder / "my secret").write_text(secret[1], "utf-8")
                    line = line.replace("PATH", "my secret")
            case "type the code":
                typed = f"{code}\n"
            case name if name.startswith("V6FLOW_"):
                environ[name] = code
            case digits:
                assert len(code) == int(digits)
                environ[VARIABLE] = code
        stdin, stderr = (Terminal(typed), Terminal()) if typed else (io.StringIO(), io.StringIO())
        person = Person(environ, stdin=stdin, stderr=stderr)
        with self._at_server(folder, line) as (_, session), _keyring():
            assert session(person).get("/run").value == 1

    @contextlib.contextmanager
    def _at_server(self, folder: Path, line: str = "", *, new: bool = False) -> Iterator[tuple[Server, _Opening]]:
        """A server, and how a session there is opened by a federation file that has one more line."""
        server = Server({"/run": lambda _: say(1)}, refresh_works=False, new=new)
        (folder / "password").write_text(PASSWORD, "utf-8")
        with Fake(server) as fake:
            text = FEDERATION.format(origin=fake.origin, user=USER) + line + "\n"
            (folder / "f.yaml").write_text(text, "utf-8")
            federation = loading.read_federation(folder / "f.yaml")
            assert isinstance(federation, ServerFederation)
            yield server, _Opening(federation)


@dataclass(frozen=True)
class _Opening:
    """Opens sessions at the server of a federation."""

    federation: ServerFederation

    def __call__(self, person: Person) -> Session:
        transport = connecting.transport_to(self.federation, environ={})
        return Session(transport, connecting.credentials(self.federation, {}), person=person)


@contextlib.contextmanager
def _nowhere(folder: Path) -> Iterator[None]:
    """While this lasts, the current folder is one that is gone."""
    before, gone = Path.cwd(), folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        yield
    finally:
        os.chdir(before)


def _keyring() -> contextlib.AbstractContextManager[object]:
    """While this lasts, a keyring has the secret."""
    kept = {("v6flow", "totp"): SECRET}
    return mock.patch.dict(
        sys.modules,
        {"keyring": SimpleNamespace(get_password=lambda *key: kept.get(key))},
    )
