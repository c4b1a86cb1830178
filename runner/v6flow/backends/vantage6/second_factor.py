"""Two-factor log-in with a person: one-time codes that are given or typed, and the secret that a server shows once."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from v6flow.backends.vantage6 import totp
from v6flow.backends.vantage6.refusals import plain
from v6flow.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from v6flow.backends.vantage6.tokens import Tokens

VARIABLE = "V6FLOW_MFA_CODE"
TRIES = 3  # codes that a person may type
LONGEST = 100  # characters of a file name that come from names


class Person:
    """Who can be asked for a one-time code, and shown a secret: at a terminal, and by the environment elsewhere.

    `logged_in` has the tokens of log-ins that took a code, by server, user and password: who logs in again in this
    process does not need another code. Nothing here is written anywhere but by `keep`.
    """

    def __init__(
        self,
        environ: MutableMapping[str, str] = os.environ,
        *,
        stdin: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        """Without streams, those of the process at the time of asking."""
        self.logged_in: dict[tuple[str, str, str], Tokens] = {}
        self.asking = False
        """Whether a person is being asked right now."""
        self._environ = environ
        self._stdin, self._stderr = stdin, stderr
        self._accepted: str | None = None

    def given(self) -> str | None:
        """The code that V6FLOW_MFA_CODE has, once: it is taken out of the environment. Raises AccessError."""
        text = self._environ.pop(VARIABLE, None)
        if not text:
            return None
        code = _code(text)
        if code is None:
            raise AccessError(
                f"{VARIABLE} is not a two-factor code",
                hint=f"a code is the {totp.DIGITS} digits that an authenticator app shows now",
            )
        return code

    def accepted(self, code: str) -> None:
        """Remember the code that the server has just accepted."""
        self._accepted = code

    def handed_on(self) -> dict[str, str]:
        """The environment variables by which a process that continues the work logs in with the same code."""
        return {} if self._accepted is None else {VARIABLE: self._accepted}

    @property
    def is_there(self) -> bool:
        """Whether somebody can be asked: stdin and stderr are a terminal."""
        return all(stream is not None and stream.isatty() for stream in (self._input, self._output))

    def ask(self, user: str, server: str) -> Iterator[str]:
        """The codes that a person types, TRIES lines at most; it ends where the person ends the input."""
        for left in reversed(range(TRIES)):
            self.asking = True
            try:
                self._show(f"two-factor code of {plain(user)} at {plain(server)} ({totp.DIGITS} digits): ", end="")
                line = self._input.readline() if self._input is not None else ""
            except KeyboardInterrupt:
                self._show("")
                raise
            finally:
                self.asking = False
            if not line:
                self._show("")
                return
            code = _code(line)
            if code is not None:
                yield code
                self._show("the server does not accept this code" + ("; wait for the next one" if left else ""))
            else:
                self._show(f"a code has {totp.DIGITS} digits")

    def keep(self, secret: str, uri: str | None, user: str, server: str) -> AccessError:
        """Save the secret of two-factor login, which the server shows only this once.

        It is shown at a terminal; without one, it is written to a new file that only this user can read. If that
        fails, it is printed to stderr all the same, since without it the user is locked out. The error that is
        returned says where it is and what to do.
        """
        message = f"the server has just set up two-factor login for {plain(user)}"
        if self._output is not None and self._output.isatty() and self._reveal(secret, uri, user, server):
            return AccessError(
                f"{message}; its secret is shown above, and the server does not show it again",
                hint="save it in a file that only you can read, add `totp_secret: ${file:PATH}` to the federation file "
                "(or give it to an authenticator app and type the code when v6flow asks), and run the same command "
                "again",
            )
        path = self._write(secret, user, server)
        if path is not None:
            return AccessError(
                f"{message}; its secret is in {path}, and the server does not show it again",
                hint=f"add `totp_secret: ${{file:{path}}}` to the federation file and run the same command again",
            )
        if self._reveal(secret, uri, user, server):
            return AccessError(
                f"{message}; its secret could not be written to a file and was printed to stderr",
                hint="save it in a file that only you can read, delete every copy of that output, add "
                "`totp_secret: ${file:PATH}` to the federation file, and run the same command again",
            )
        return AccessError(
            f"{message}, and its secret could neither be written nor shown: it is lost",
            hint="reset two-factor login of this user at the server's pages, then run "
            "`v6flow doctor --federation FILE` at a terminal",
        )

    @property
    def _input(self) -> TextIO | None:
        return self._stdin or sys.stdin

    @property
    def _output(self) -> TextIO | None:
        return self._stderr or sys.stderr

    def _show(self, text: str, *, end: str = "\n") -> bool:
        try:
            if self._output is None:
                return False
            self._output.write(text + end)
            self._output.flush()
        except (OSError, ValueError):
            return False
        return True

    def _reveal(self, secret: str, uri: str | None, user: str, server: str) -> bool:
        lines = [
            f"two-factor login of {plain(user)} at {plain(server)}: this secret is shown only once",
            f"  secret: {plain(secret)}",
            *([f"  for an authenticator app: {plain(uri)}"] if uri else []),
        ]
        return self._show("\n".join(lines))

    def _write(self, secret: str, user: str, server: str) -> Path | None:
        """The new file with the secret, None if none could be written."""
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{server.partition('://')[2]}_{user}").strip("_.")[:LONGEST]
        for folder in self._folders():
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                return _new_file(folder, f"totp_{name}", f"{secret}\n".encode())
        return None

    def _folders(self) -> Iterator[Path]:
        """Where a secret may be kept: with this user's settings, else in the current folder."""
        config, home = self._environ.get("XDG_CONFIG_HOME", ""), self._environ.get("HOME", "")
        if Path(config).is_absolute():
            yield Path(config) / "v6flow"
        elif Path(home).is_absolute():
            yield Path(home) / ".config" / "v6flow"
        with contextlib.suppress(OSError):
            yield Path.cwd()


PERSON = Person()
"""The person at this process."""


def _code(text: str) -> str | None:
    """The digits of a code, however they are grouped; None if it is none."""
    digits = re.sub(r"[\s-]", "", text)
    return digits if len(digits) == totp.DIGITS and digits.isascii() and digits.isdigit() else None


def _new_file(folder: Path, name: str, body: bytes) -> Path:
    """Write a file that was not there, for this user alone, and have it survive the loss of power. Raises OSError."""
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{name}-{number}")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(above)
        finally:
            os.close(above)
        return path
