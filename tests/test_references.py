"""Secrets are looked up where their references say, and shown nowhere."""

from __future__ import annotations

import pickle
import sys
import types
from typing import TYPE_CHECKING

import pytest

from v6flow import dotenv
from v6flow.backends.vantage6 import totp
from v6flow.backends.vantage6.tokens import Credentials
from v6flow.errors import FederationError
from v6flow.references import Secret

if TYPE_CHECKING:
    from pathlib import Path


def test_references_are_looked_up_when_they_are_needed(tmp_path: Path) -> None:
    environ = {"HERE": "from the environment"}
    (tmp_path / ".env").write_text("HERE=not this\nTHERE=from the file\n")
    (tmp_path / "secret").write_text(" kept as it is \n")

    def reveal(written: str) -> str:
        return Secret(written, tmp_path, environ=environ, keyring=lambda *key: "/".join(key)).reveal()

    assert reveal("${env:HERE}") == "from the environment"
    assert reveal("${env:THERE}") == "from the file"
    assert reveal("${file:secret}") == " kept as it is "
    assert reveal("${keyring:v6flow/hospital/somebody}") == "v6flow/hospital/somebody"
    assert reveal("somebody") == "somebody"
    secret = Secret("${env:LATER}", tmp_path, environ=environ)
    environ["LATER"] = "now"
    assert secret.reveal() == "now"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("${env:NONE}", "the environment variable NONE is not set"),
        ("${env:EMPTY}", "is empty"),
        ("${file:none}", "cannot be read: No such file"),
        ("${file:.}", "cannot be read: it is a folder"),
        ("${file:binary}", "not UTF-8"),
        ("${keyring:nobody}", "SERVICE/USER"),
        ("${keyring:a/b}", "the keyring has nothing"),
    ],
)
def test_what_is_not_there_is_named(written: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    secret = Secret(written, tmp_path, environ={"EMPTY": ""}, keyring=lambda *_: None)
    with pytest.raises(FederationError, match=words):
        secret.reveal()


def test_the_keyring_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("${keyring:v6flow/totp}", tmp_path)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(FederationError, match="needs the package keyring") as caught:
        secret.reveal()
    assert caught.value.hint == "pip install keyring"
    stand_in = types.ModuleType("keyring")
    monkeypatch.setitem(sys.modules, "keyring", stand_in)
    monkeypatch.setattr(stand_in, "get_password", lambda service, user: f"{service}:{user}", raising=False)
    assert secret.reveal() == "v6flow:totp"

    def locked(*_: str) -> str:
        raise RuntimeError("planted")

    monkeypatch.setattr(stand_in, "get_password", locked)
    with pytest.raises(FederationError, match=r"cannot be opened \(RuntimeError\)"):
        secret.reveal()


def test_secrets_are_neither_shown_nor_pickled(tmp_path: Path) -> None:
    secret = Secret("${env:PASSWORD}", tmp_path, environ={"PASSWORD": "planted"})
    plain = Secret("planted", tmp_path)
    both = Credentials(plain, secret, plain)
    assert secret.reveal() == plain.reveal() == "planted"
    for shown in (repr(both), str(both), f"{secret} {plain}", repr([secret, plain])):
        assert "planted" not in shown
    assert "${env:PASSWORD}" in repr(both)
    for each in (secret, plain, both):
        with pytest.raises(TypeError):
            pickle.dumps(each)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("A=b", "b"),
        ("  export A = b c  ", "b c"),
        ("A=b # a comment", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=#", ""),
        ("A='b # \"c\" \\n $HOME' # d", 'b # "c" \\n $HOME'),
        ('A="b \\"c\\" \\\\ \\n \\$ \\x"', 'b "c" \\ \n $ \\x'),
        ("A=$(rm -rf /) ${B}", "$(rm -rf /) ${B}"),
        ("A=b=c==", "b=c=="),
        ("\ufeffA=b", "b"),
    ],
)
def test_lines_of_an_env_file(line: str, text: str) -> None:
    assert dotenv.parse(f"# first\n\n{line}\r\n" if "\ufeff" not in line else line, ".env") == {"A": text}


@pytest.mark.parametrize(
    "line", ["planted", "A planted", "1A=planted", "A='planted", 'A="planted" more', "A=b\nA=planted"]
)
def test_an_env_file_that_cannot_be_read_is_not_shown(line: str) -> None:
    with pytest.raises(FederationError, match=r"^\.env:\d: ") as caught:
        dotenv.parse(line, ".env")
    assert "planted" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(  # RFC 6238, appendix B, the last six digits
    ("now", "expected"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_one_time_codes(now: float, expected: str) -> None:
    assert totp.code("GEZD GNBV-GY3TQOJQ gezdgnbvgy3tqojq", now) == expected
    assert totp.code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", now + 0.9) == expected


@pytest.mark.parametrize("secret", ["", "planted!", "1"])
def test_a_secret_that_makes_no_codes_is_not_shown(secret: str) -> None:
    with pytest.raises(FederationError, match="is not one") as caught:
        totp.code(secret, 59)
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None
