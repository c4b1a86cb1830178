"""The public key of an organization at a real server: put there, kept, refused and replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from v6flow import loading
from v6flow.backends.vantage6 import connecting, encryption, keys
from v6flow.backends.vantage6.configuration import ServerFederation
from v6flow.backends.vantage6.encryption import KeyProblemError
from v6flow.cli.main import main
from v6flow.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation, User

OURS = "ours.pem"


@pytest.fixture(scope="module")
def pems() -> tuple[bytes, bytes]:
    """Two new private keys."""
    return encryption.generate_private_key(2048), encryption.generate_private_key(2048)


@pytest.fixture
def there(live_encrypted: LiveFederation) -> Iterator[Organization]:
    """Our organization at the server; its key is what it was, whatever the test does."""
    found = Organization(live_encrypted)
    before = found.public_key
    yield found
    found.put(before)
    assert found.public_key == before


class Organization:
    """Alpha at the server."""

    def __init__(self, live: LiveFederation) -> None:
        self.live = live
        self._path = f"/organization/{live.organization_ids['alpha']}"

    @property
    def public_key(self) -> str:
        status, body = self.live.server.request("GET", self._path)
        assert status == 200, body
        return str(body["public_key"])

    def put(self, public_key: str) -> None:
        status, body = self.live.server.request("PATCH", self._path, {"public_key": public_key})
        assert status == 200, body


def file_with(live: LiveFederation, folder: Path, pem: bytes, *, user: User | None = None) -> Path:
    """A federation file whose private key is this one."""
    (folder / OURS).write_bytes(pem)
    path = live.write_federation_file(folder / "federation.yaml", user=user)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("private_key:")]
    path.write_text("\n".join([*lines, f"private_key: {OURS}", ""]))
    return path


def read(path: Path) -> ServerFederation:
    found = loading.read_federation(path)
    assert isinstance(found, ServerFederation)
    return found


def fingerprint(pem: bytes) -> str | None:
    return encryption.fingerprint(encryption.load_private_key(pem, OURS).public_text)


def test_a_key_is_added_kept_refused_and_replaced(
    there: Organization, tmp_path: Path, pems: tuple[bytes, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    def upload(pem: bytes, *words: str) -> tuple[int, str, str]:
        path = file_with(there.live, tmp_path, pem)
        code = main(["upload-key", "--federation", str(path), *words])
        said: Any = capsys.readouterr()
        return code, said.out, said.err

    first, second = pems
    there.put("")
    code, out, err = upload(first)
    assert (code, out) == (0, f"{fingerprint(first)}\n")
    assert "it had none before" in err
    assert there.public_key == encryption.load_private_key(first, OURS).public_text

    code, out, err = upload(first)
    assert (code, out) == (0, f"{fingerprint(first)}\n")
    assert "already had this key" in err

    code, out, err = upload(second)
    assert (code, out) == (2, "")
    assert f"another public key of alpha than that of our private key: {fingerprint(first)}" in err
    assert encryption.fingerprint(there.public_key) == fingerprint(first)

    code, out, err = upload(second, "--replace")
    assert (code, out) == (0, f"{fingerprint(second)}\n")
    assert f"old {fingerprint(first)}" in err
    assert encryption.fingerprint(there.public_key) == fingerprint(second)

    connecting.connect(read(tmp_path / "federation.yaml")).close()
    old = replace(read(tmp_path / "federation.yaml"), private_key=str(there.live.server.private_key("alpha")))
    with pytest.raises(KeyProblemError, match="not the one whose public key the server has of alpha"):
        connecting.connect(old)


@pytest.mark.parametrize("who", ["researcher", "organization_view"])
def test_who_may_not_edit_the_organization_is_refused(
    who: str, there: Organization, tmp_path: Path, pems: tuple[bytes, bytes]
) -> None:
    before = there.public_key
    federation = read(file_with(there.live, tmp_path, pems[0], user=getattr(there.live.users, who)))
    key = keys.read_private_key(federation)
    with keys.logged_in(federation) as session:
        found = keys.compare(session, key)
        assert (found.status, found.whose, found.theirs) == ("different", "alpha", encryption.fingerprint(before))
        with pytest.raises(AccessError, match="You lack the permission") as caught:
            keys.put(session, key, found)
    assert caught.value.exit_code == 4
    assert there.public_key == before
