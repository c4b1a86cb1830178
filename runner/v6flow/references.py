"""References to secrets and variables outside a file: only the reference is kept, and it is resolved when needed."""

from __future__ import annotations

import importlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from v6flow import dotenv, paths
from v6flow.core.patterns import pattern
from v6flow.errors import FederationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LARGEST = 1 << 20  # bytes of a file with a secret, or with variables
REFERENCE = pattern(r"\$\{(env|file|keyring):([^{}]+)\}")


class Secret:
    """A secret: a text, or a reference (`${env:NAME}`, `${file:PATH}`, `${keyring:SERVICE/USER}`).

    Paths and `.env` are relative to the federation file, in `folder`; the environment overrides `.env`. Its repr shows
    the reference, and never a plain text.
    """

    __slots__ = ("_environ", "_folder", "_keyring", "_written")

    def __init__(
        self,
        written: str,
        folder: Path,
        *,
        environ: Mapping[str, str] = os.environ,
        keyring: Callable[[str, str], str | None] | None = None,
    ) -> None:
        self._written = written
        self._folder = folder
        self._environ = environ
        self._keyring = keyring or _keyring

    def reveal(self, *, may_be_empty: bool = False) -> str:
        """The secret. Raises FederationError, which names the reference."""
        match = REFERENCE.fullmatch(self._written)
        if match is None:
            return self._written
        if match[1] == "env":
            found = self._variable(match[2])
        elif match[1] == "file":
            found = self._file(match[2])
        else:
            service, _, user = match[2].rpartition("/")
            if not service or not user:
                raise FederationError(
                    f"{self._written}: a reference to the keyring has the form ${{keyring:SERVICE/USER}}"
                )
            kept = self._keyring(service, user)
            if kept is None:
                raise FederationError(
                    f"the keyring has nothing for {self._written}", hint=shlex.join(["keyring", "set", service, user])
                )
            found = kept
        if not found and not may_be_empty:
            raise FederationError(f"the value of {self._written} is empty")
        return found

    def unset(self) -> FederationError | None:
        """Raise what `reveal` would raise for an unset environment variable; nothing else is looked up."""
        match = REFERENCE.fullmatch(self._written)
        if match is None or match[1] != "env":
            return None
        try:
            self._variable(match[2])
        except FederationError as error:
            return error
        return None

    def _variable(self, name: str) -> str:
        if name in self._environ:
            return self._environ[name]
        path = self._folder / ".env"
        try:
            variables = dotenv.parse(paths.read(path, _LARGEST).decode("utf-8"), str(path))
        except FileNotFoundError:
            variables = {}
        except (OSError, UnicodeDecodeError) as error:
            raise FederationError(f"{path} cannot be read: {_why(error)}") from None
        if name not in variables:
            raise FederationError(
                f"the environment variable {name} is not set",
                hint=f"{self._written} refers to it; a file .env beside the federation file is read too",
            )
        return variables[name]

    def _file(self, name: str) -> str:
        try:
            text = paths.read(self._folder / Path(name).expanduser(), _LARGEST).decode("utf-8")
        except (OSError, UnicodeDecodeError, RuntimeError) as error:
            raise FederationError(f"{self._written} cannot be read: {_why(error)}") from None
        return text.removesuffix("\n").removesuffix("\r")

    def __repr__(self) -> str:
        return f"Secret({self._written if REFERENCE.fullmatch(self._written) else '…'})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def reveal(text: str, *, folder: Path) -> str:
    """The value of a reference (see `Secret`); for any other text, the text itself.

    When an untrusted file is checked, references are not resolved, and stay as they are. Raises FederationError.
    """
    if not text.startswith("${") or paths.bounded():
        return text
    return Secret(text, folder).reveal(may_be_empty=True)


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror if isinstance(error, OSError) else None) or "there is no such place"


def _keyring(service: str, user: str) -> str | None:
    try:
        keyring: Any = importlib.import_module("keyring")
    except ImportError:
        raise FederationError(
            f"${{keyring:{service}/{user}}} needs the package keyring", hint="pip install keyring"
        ) from None
    try:
        found: str | None = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001  each keyring has errors of its own
        raise FederationError(f"the keyring cannot be opened ({type(error).__name__})") from None
    return found
