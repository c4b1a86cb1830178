"""`v6flow keygen`: a private key as vantage6 makes them, in a new file that nobody else can read."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest
from cli_stage import (
    call,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from v6flow.backends.vantage6 import encryption
from v6flow.cli import keygen
from v6flow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are made sooner."""
    made = encryption.generate_private_key(2048)
    monkeypatch.setattr(encryption, "generate_private_key", lambda: made)


def digest(path: Path) -> str:
    """The fingerprint of the public key of a private key, computed apart."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def test_it_is_as_vantage6_makes_them_and_private_whatever_the_umask(here: Path, capsys: Capture) -> None:
    before = os.umask(0)
    try:
        said = call(capsys, "keygen", "ours.pem")
    finally:
        os.umask(before)
    path = here / "ours.pem"
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (4096, 65537)
    assert path.read_bytes().startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in here.iterdir()] == ["ours.pem"]
    assert (said.code, said.out) == (0, digest(path) + "\n")
    assert "SHA-256 of the public key as DER SubjectPublicKeyInfo" in said.err
    assert "v6flow upload-key --federation" in said.err


@pytest.mark.usefixtures("quick")
def test_as_a_document(here: Path, capsys: Capture) -> None:
    said = call(capsys, "keygen", "ours.pem", "-o", "json")
    key = encryption.load_private_key((here / "ours.pem").read_bytes(), "ours.pem")
    assert (said.code, said.err) == (0, "")
    assert said.document == {
        "file": "ours.pem",
        "fingerprint": digest(here / "ours.pem"),
        "fingerprint_of": "the SHA-256 of the public key as DER SubjectPublicKeyInfo",
        "public_key": key.public_text,
    }
    assert "PRIVATE" not in said.out


@pytest.mark.parametrize("there", ["a file", "a link to nothing", "a folder"])
def test_what_is_there_is_not_written_over(there: str, here: Path, capsys: Capture) -> None:
    path = here / "ours.pem"
    if there == "a file":
        path.write_text("precious")
    elif there == "a folder":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    said = call(capsys, "keygen", "ours.pem")
    assert (said.code, said.out) == (2, "")
    assert "already exists" in said.err
    assert "name another file" in said.err
    assert there != "a file" or path.read_text() == "precious"
    assert [each.name for each in here.iterdir()] == ["ours.pem"]
    assert call(capsys, "keygen", "ours.pem", "-o", "json").document["error"]["kind"] == "usage"


def test_what_comes_to_be_there_meanwhile_is_not_written_over(here: Path) -> None:
    (here / "ours.pem").write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        keygen.write(here / "ours.pem", b"new")
    assert (here / "ours.pem").read_text() == "precious"
    assert [each.name for each in here.iterdir()] == ["ours.pem"]


def test_without_space_there_is_no_part_of_a_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        keygen.write(here / "ours.pem", b"new")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("file", "told"), [("none/ours.pem", "there is no folder none"), ("", "already exists")])
def test_a_place_that_is_none(file: str, told: str, here: Path, capsys: Capture) -> None:
    said = call(capsys, "keygen", file)
    assert (said.code, said.out) == (2, "")
    assert told in said.err
