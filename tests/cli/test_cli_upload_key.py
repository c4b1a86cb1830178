"""`v6flow upload-key`: the public key at the server is put there, kept, or replaced when that is said."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_stage import (
    call,
    federated,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.append(str(Path(__file__).parents[1] / "backends" / "vantage6"))
from vantage6_fake import RESET, Asked, Fake, Say, Vantage6, say

from v6flow.backends.vantage6 import encryption

if TYPE_CHECKING:
    from cli_stage import Said

Capture = pytest.CaptureFixture[str]
CURVE = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()


@dataclass
class Hospital(Vantage6):
    """A server that keeps the public key of one organization; `refusal` is what it answers to a PATCH instead."""

    public_key: str | None = None
    patches: list[dict[str, Any]] = field(default_factory=list)
    refusal: Say | None = None

    def __call__(self, asked: Asked) -> Say:
        path = asked.path.removeprefix("/api")
        if path == "/version":
            return say({"version": "4.15.2"})
        if path.startswith("/token"):
            return super().__call__(asked)
        if path == "/user/7":
            return say({"id": 7, "username": "somebody", "organization": {"id": 11}})
        assert path == "/organization/11"
        if asked.method == "PATCH":
            self.patches.append(asked.json)
            return self.patch(asked)
        return say({"id": 11, "name": "Hospital alpha", "public_key": self.public_key})

    def patch(self, asked: Asked) -> Say:
        if self.refusal is not None:
            return self.refusal
        self.public_key = asked.json["public_key"]
        return say({"id": 11})


@pytest.fixture(scope="module")
def pems() -> tuple[bytes, bytes]:
    """A private key and another."""
    return encryption.generate_private_key(2048), encryption.generate_private_key(2048)


@pytest.fixture
def ours(pems: tuple[bytes, bytes], here: Path) -> str:
    """Our public key as a server keeps it; the private key is in the file that the federation names."""
    (here / "ours.pem").write_bytes(pems[0])
    return encryption.load_private_key(pems[0], "ours.pem").public_text


@pytest.fixture(scope="module")
def other(pems: tuple[bytes, bytes]) -> str:
    return encryption.load_private_key(pems[1], "other.pem").public_text


def upload(server: Vantage6, here: Path, capsys: Capture, *words: str, key: str = "private_key: ours.pem\n") -> Said:
    with Fake(server) as fake:
        (here / "password").write_text("planted")
        (here / "hospitals.yaml").write_text(
            f"v6flow_federation: 1\nbackend: vantage6\nserver: {fake.origin}/api\ncollaboration: hospitals\n"
            f"username: somebody\npassword: ${{file:password}}\n{key}"
        )
        said = call(capsys, "upload-key", "--federation", "hospitals.yaml", *words)
    assert "planted" not in said.out + said.err
    path = here / "ours.pem"
    for line in path.read_text().splitlines()[1:-1] if path.exists() else ():
        assert line not in said.out + said.err
    return said


def test_where_there_is_none_it_is_added(ours: str, here: Path, capsys: Capture) -> None:
    for none in ("", None):
        server = Hospital(public_key=none)
        said = upload(server, here, capsys)
        assert (said.code, said.out) == (0, f"{encryption.fingerprint(ours)}\n")
        assert server.patches == [{"public_key": ours}]
        assert "Hospital alpha; the server now has this key; it had none before" in said.err


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("words", [(), ("--replace",)])
def test_the_same_key_stays(words: tuple[str, ...], ending: str, ours: str, here: Path, capsys: Capture) -> None:
    written = base64.b64encode(base64.b64decode(ours).replace(b"\n", ending.encode())).decode()
    server = Hospital(public_key=written)
    said = upload(server, here, capsys, *words)
    assert (said.code, server.patches) == (0, [])
    assert "the server already had this key" in said.err


@pytest.mark.parametrize("theirs", ["other", "aGVsbG8=", "hello", CURVE])
def test_another_key_is_not_replaced_unasked(theirs: str, ours: str, other: str, here: Path, capsys: Capture) -> None:
    theirs = other if theirs == "other" else theirs
    server = Hospital(public_key=theirs)
    said = upload(server, here, capsys)
    assert (said.code, said.out) == (2, "")
    assert (server.patches, server.public_key) == ([], theirs)
    for words in (
        "another public key of Hospital alpha",
        encryption.fingerprint(theirs) or "something that is no public key",
        encryption.fingerprint(ours) or "",
        "--replace puts ours there",
        "colleagues that have only the old private key can no longer read",
    ):
        assert words in said.err
    document = upload(server, here, capsys, "-o", "json").document
    assert (document["exit_code"], document["error"]["kind"]) == (2, "key")


def test_another_key_is_replaced_when_that_is_said(ours: str, other: str, here: Path, capsys: Capture) -> None:
    server = Hospital(public_key=other)
    said = upload(server, here, capsys, "--replace")
    assert (said.code, said.out) == (0, f"{encryption.fingerprint(ours)}\n")
    assert server.patches == [{"public_key": ours}]
    assert "replacing the public key of Hospital alpha at http://127.0.0.1:" in said.err
    assert f"old {encryption.fingerprint(other)}" in said.err
    assert f"new {encryption.fingerprint(ours)}" in said.err
    assert "nodes of Hospital alpha and colleagues that have only the old private key" in said.err


@pytest.mark.parametrize(
    ("before", "words", "status"), [(None, (), "added"), ("ours", (), "kept"), ("other", ("--replace",), "replaced")]
)
def test_as_a_document(
    before: str | None, words: tuple[str, ...], status: str, ours: str, other: str, here: Path, capsys: Capture
) -> None:
    there = {"ours": ours, "other": other, None: ""}[before]
    said = upload(Hospital(public_key=there), here, capsys, *words, "-o", "json")
    assert said.code == 0
    assert said.document == {
        "status": status,
        "organization": "Hospital alpha",
        "old": encryption.fingerprint(there),
        "new": encryption.fingerprint(ours),
    }


@pytest.mark.parametrize("refused", ["You lack the permission to do that!", "Only members of an organization can …"])
def test_a_missing_right_exits_4_with_the_servers_words(refused: str, ours: str, here: Path, capsys: Capture) -> None:
    server = Hospital(refusal=say({"msg": refused}, 401))
    said = upload(server, here, capsys)
    assert (said.code, said.out, len(server.patches)) == (4, "", 1)
    assert refused in said.err


def test_a_wrong_password_exits_4(ours: str, here: Path, capsys: Capture) -> None:
    class Closed(Hospital):
        def __call__(self, asked: Asked) -> Say:
            return say({"msg": "Failed to login"}, 401) if "token" in asked.path else super().__call__(asked)

    said = upload(Closed(), here, capsys)
    assert said.code == 4


class Losing(Hospital):
    """Its answer to a PATCH is lost, whether it was carried out or not, or somebody else's came after it."""

    carried_out = True
    after: str | None = None

    def patch(self, asked: Asked) -> Say:
        if self.carried_out:
            super().patch(asked)
        if self.after is not None:
            self.public_key = self.after
        return RESET if self.after is None else say({"id": 11})


def test_a_lost_answer_is_read_back_and_nothing_is_sent_twice(ours: str, here: Path, capsys: Capture) -> None:
    server = Losing()
    said = upload(server, here, capsys)
    assert (said.code, len(server.patches), server.public_key) == (0, 1, ours)
    server = Losing()
    server.carried_out = False
    said = upload(server, here, capsys)
    assert (said.code, said.out, len(server.patches)) == (5, "", 1)
    assert "has no public key of Hospital alpha as before" in said.err


def test_a_key_that_is_another_after_all_needs_a_person(ours: str, other: str, here: Path, capsys: Capture) -> None:
    server = Losing()
    server.after = other
    said = upload(server, here, capsys)
    assert (said.code, said.out, len(server.patches)) == (6, "", 1)
    assert encryption.fingerprint(other) in said.err.split()


def test_what_certainly_did_not_arrive_is_sent_until_it_does(ours: str, here: Path, capsys: Capture) -> None:
    class Busy(Hospital):
        def patch(self, asked: Asked) -> Say:
            if len(self.patches) == 1:
                return say({"msg": "later"}, 429, retry_after="0")
            return super().patch(asked)

    server = Busy()
    assert upload(server, here, capsys).code == 0
    assert server.patches == [{"public_key": ours}] * 2


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "names no private key"),
        ("private_key: none.pem\n", "none.pem cannot be read: No such file"),
        ("private_key: hospitals.yaml\n", "is not a private key in PEM format"),
    ],
)
def test_without_a_private_key_nobody_is_asked(key: str, told: str, here: Path, capsys: Capture) -> None:
    server = Hospital()
    said = upload(server, here, capsys, key=key)
    assert (said.code, said.out, server.logins) == (2, "", 0)
    assert told in said.err


def test_a_simulated_federation_has_no_keys(here: Path, capsys: Capture) -> None:
    federated(here)
    said = call(capsys, "upload-key", "--federation", "federation.yaml")
    assert (said.code, said.out) == (2, "")
    assert "simulated here" in said.err
    assert call(capsys, "upload-key").code == 2
