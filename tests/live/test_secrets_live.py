"""Log-ins that fail, and what of our secrets is left behind by runs on a real server: nothing."""

from __future__ import annotations

import base64
import json
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import federation
import pytest
import stage_live
from federation import User
from program import http
from stage_live import Stage

from v6flow.backends.vantage6.session import Session
from v6flow.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from federation import LiveFederation, LiveServer

    from v6flow.backends.vantage6.tokens import Tokens

PASSWORD = 'Pa"ss w/örd+1&%'  # looks different in JSON, in addresses and in base64
WORKFLOW = """\
defaults: {image: quick, organizations: [alpha, beta]}
steps:
  good: {task: {method: give, kwargs: {value: "{{ organization }}"}}}
  bad: {task: {method: @method@, kwargs: {@argument@: "{{ steps.good.results | join }}"}}, allow_cross_site: names}
outputs: {bad: "{{ steps.bad.results }}"}
"""


@pytest.fixture
def url(live_server: LiveServer) -> Iterator[str]:
    """The server that demands a second factor."""
    with live_server.two_factor() as found:
        yield found


@contextmanager
def planted(server: LiveServer, url: str) -> Iterator[User]:
    """A user with a password that is hard to miss, and the TOTP secret that the server gives at the first log-in."""
    status, roles = server.request("GET", "/role?name=Researcher&per_page=100")
    assert status == 200, roles
    (role,) = [each["id"] for each in roles["data"] if each["name"] == "Researcher"]
    name = f"planted-{secrets.token_hex(3)}"
    body = {
        "username": name,
        "password": PASSWORD,
        "email": "planted@example.org",
        "firstname": "",
        "lastname": "",
        "organization_id": server.ids["organizations"]["alpha"],
        "roles": [role],
    }
    status, made = server.request("POST", "/user", body)
    assert status == 201, made
    try:
        _, first = http("POST", f"{url}/token/user", {"username": name, "password": PASSWORD})
        yield User(name, PASSWORD, totp_secret=first["otp_secret"])
    finally:
        assert server.request("DELETE", f"/user/{made['id']}?delete_dependents=true")[0] == 200


@contextmanager
def nodes_at(live: LiveFederation, url: str) -> Iterator[None]:
    """The nodes of alpha and beta at another server on the same data."""
    port = int(re.findall(r":(\d+)/", url)[0])
    for name in ("alpha", "beta"):
        live.stop_node(name)
        live.start_node(name, **{**vars(stage_live.quick_settings(live, name)), "port": port})
    try:
        yield
    finally:
        for name in ("alpha", "beta"):
            live.stop_node(name)


def spellings(secret: str | bytes) -> set[bytes]:
    """A secret as it is, in JSON, in an address, and in base64, wherever in a longer text that begins."""
    raw = secret.encode() if isinstance(secret, str) else secret
    found = {raw, base64.b64encode(raw), base64.b32encode(raw), raw.hex().encode()}
    if isinstance(secret, str):
        found |= {quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
        found |= {json.dumps(secret)[1:-1].encode(), json.dumps(secret, ensure_ascii=False)[1:-1].encode()}
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + raw)[(0, 2, 3)[shift] : -4]
        found |= {coded, coded.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def left_behind(folder: Path, *said: str) -> bytes:
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join([*files, *(each.encode() for each in said)])


def test_no_secret_is_left_anywhere(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    live = stage_live.begin_quick(federation.shared().encrypted)
    tokens: set[str] = set()
    read = Session._read

    def reading(self: Session, *given: Any) -> Tokens:
        found = read(self, *given)
        tokens.update(each for each in (found.access, found.refresh) if each)
        return found

    monkeypatch.setattr(Session, "_read", reading)
    codes: list[int] = []
    with planted(live.server, url) as user, nodes_at(live, url):
        stage = Stage(live, tmp_path / "stage", user=user)
        live.write_federation_file(stage.federation_file, user=user, server=url, organizations=("alpha", "beta"))
        store = tmp_path / "store"
        monkeypatch.chdir(stage.folder)
        for method, argument in (("give", "value"), ("fail", "words")):
            stage.write(WORKFLOW, method=method, argument=argument)
            codes.append(main(["run", "w.yaml", "--store", str(store)]))
        codes += [main([word, "--store", str(store)]) for word in ("status", "resume")]
        # refused, with the server's words
        (stage.folder / "federation.totp").write_text("JBSWY3DPEHPK3PXP")
        codes.append(main(["run", "w.yaml", "--store", str(store), "--output", "json"]))
    said = capfd.readouterr()
    assert codes == [0, 1, 0, 2, 4], said
    assert 'bad: ["alphabeta","alphabeta"]' in said.out
    assert "ValueError: alphabeta" in said.err
    assert len(tokens) >= 4
    everything = left_behind(store, said.out, said.err)
    assert b"ValueError: alphabeta" in everything
    pem = live.server.private_key("alpha").read_text()
    lines = [line for line in pem.splitlines() if len(line) == 64]
    assert user.totp_secret is not None
    wanted: list[str | bytes] = [
        PASSWORD,
        user.totp_secret,
        *tokens,
        pem,
        *lines,
        base64.b64decode("".join(lines))[:96],
    ]
    for secret in wanted:
        for spelt in spellings(secret):
            assert len(spelt) > 8
            assert spelt not in everything


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """The search itself: each way in which a secret may be written is seen."""
    for written in (
        PASSWORD,
        json.dumps({"password": PASSWORD}),
        quote(PASSWORD),
        base64.b64encode(f"user:{PASSWORD}".encode()).decode(),
        base64.b64encode(f"x:{PASSWORD}!".encode()).decode(),
        base64.b64encode(f"xy:{PASSWORD}!".encode()).decode(),
    ):
        (tmp_path / "file").write_text(written, encoding="utf-8")
        assert any(spelt in left_behind(tmp_path) for spelt in spellings(PASSWORD)), written


def test_a_wrong_password_ends_it_at_once(live: LiveFederation, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path / "stage")
    stage.write(WORKFLOW, method="give", argument="value")
    (stage.folder / "federation.password").write_text("not the password")
    said = stage.run()
    assert said.code == 4, said
    assert said.seconds < 10, "it is not tried again"
    assert said.document["error"]["kind"] == "access"
    assert "the user name or the password is wrong" in said.document["error"]["message"]
    assert "not the password" not in said.out + said.err
    assert stage.run_ids == []


def test_a_second_factor_that_is_missing_is_asked_for(live: LiveFederation, url: str, tmp_path: Path) -> None:
    stage = Stage(live, tmp_path / "stage")
    stage.write(WORKFLOW, method="give", argument="value")
    file = live.write_federation_file(stage.federation_file, user=live.users.two_factor, server=url)
    text = file.read_text("utf-8")
    file.write_text("".join(line for line in text.splitlines(keepends=True) if "totp_secret" not in line))
    said = stage("run", "w.yaml")
    assert said.code == 4, said
    assert said.seconds < 10
    assert "two-factor" in said.err
    assert "totp_secret" in said.err
    assert stage.run_ids == []
