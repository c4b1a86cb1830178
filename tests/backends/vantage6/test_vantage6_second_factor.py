"""Two-factor log-in with a person, at a terminal that is played and a server that answers as vantage6 4.15 does."""

from __future__ import annotations

import io
import os
import pickle
import stat
import threading
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from vantage6_fake import PASSWORD, Asked, Fake, Say, Vantage6, say, transport

from v6flow.backends.vantage6 import second_factor
from v6flow.backends.vantage6.second_factor import VARIABLE, Person
from v6flow.backends.vantage6.session import Session
from v6flow.backends.vantage6.tokens import Credentials
from v6flow.errors import AccessError
from v6flow.references import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
URI = f"otpauth://totp/vantage6%20%28four%29:somebody?secret={SECRET}&issuer=vantage6%20%28four%29"
GOOD = "123456"


class Stream(io.StringIO):
    """A stream that is a terminal, or none; it may refuse to be written to, or be interrupted."""

    def __init__(self, text: str = "", *, terminal: bool = True, full: bool = False, interrupt: bool = False) -> None:
        super().__init__(text)
        self.terminal, self.full, self.interrupt = terminal, full, interrupt
        self.lines = 0

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # as TextIO's, but for its None
        self.lines += 1
        if self.interrupt:
            raise KeyboardInterrupt
        return super().readline(-1 if size is None else size)


@dataclass
class Demanding(Vantage6):
    """It wants a code of everybody, and sets two-factor login up at the first log-in of who has no secret."""

    secret: str | None = SECRET
    codes: list[str | None] = field(default_factory=list)
    good: set[str] = field(default_factory=lambda: {GOOD})
    answer: dict[str, object] | None = None

    def __call__(self, asked: Asked) -> Say:
        if asked.path != "/api/token/user":
            return super().__call__(asked)
        assert asked.json["password"] == PASSWORD
        if self.secret is None:
            self.secret = SECRET
            return say(self.answer or {"otp_secret": SECRET, "qr_uri": URI, "msg": "Two-factor authentication is …"})
        self.codes.append(asked.json.get("mfa_code"))
        if self.codes[-1] is None:
            return say({"msg": "Please include your two-factor authentication code"})
        if self.codes[-1] not in self.good:
            return say({"msg": "Your two-factor authentication code is incorrect!"}, 401)
        return super().__call__(asked)


def demanding(**more: object) -> Demanding:
    return Demanding({"/run": lambda _: say(1)}, **more)  # type: ignore[arg-type]  # as the fields are


@contextmanager
def at(server: Demanding, person: Person | None) -> Iterator[Session]:
    with Fake(server) as fake:
        yield session_at(fake, person)


def session_at(fake: Fake, person: Person | None) -> Session:
    environ = {"USERNAME": "somebody", "PASSWORD": PASSWORD}
    name, password = (Secret(f"${{env:{each}}}", Path("/"), environ=environ) for each in environ)
    return Session(transport(fake), Credentials(name, password), person=person)


def person(typed: str = "", *, terminal: bool = True, **environ: str) -> tuple[Person, Stream, Stream]:
    stdin, stderr = Stream(typed, terminal=terminal), Stream(terminal=terminal)
    return Person(environ, stdin=stdin, stderr=stderr), stdin, stderr


# ----------------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("typed", [f"{GOOD}\n", "123 456\n", " 123-456 \n"])
def test_a_person_types_the_code(typed: str) -> None:
    server = demanding()
    somebody, _, stderr = person(typed)
    with at(server, somebody) as here:
        assert here.get("/run").value == 1
        assert here.get("/run").value == 1
    assert server.codes == [None, GOOD]
    assert "two-factor code of somebody at http://127.0.0.1" in stderr.getvalue()
    assert not somebody.asking


def test_a_wrong_code_is_asked_for_again() -> None:
    server = demanding()
    somebody, _, stderr = person(f"000000\nabc\n{GOOD}\n")
    with at(server, somebody) as here:
        assert here.get("/run").value == 1
    assert server.codes == [None, "000000", GOOD], "what cannot be a code is not sent"
    assert "the server does not accept this code; wait for the next one" in stderr.getvalue()
    assert "a code has 6 digits" in stderr.getvalue()


@pytest.mark.parametrize(("typed", "sent"), [("000000\n111111\n222222\n123456\n", 3), ("000000\n", 1), ("", 0)])
def test_after_three_codes_or_none_it_ends(typed: str, sent: int) -> None:
    server = demanding()
    somebody, _, _ = person(typed)
    with at(server, somebody) as here:
        for _ in range(2):
            with pytest.raises(AccessError, match="no two-factor code was given that the server accepts") as caught:
                here.get("/run")
    assert (caught.value.exit_code, VARIABLE in (caught.value.hint or "")) == (4, True)
    assert len(server.codes) == 1 + sent


def test_ctrl_c_ends_the_question() -> None:
    stderr = Stream()
    somebody = Person({}, stdin=Stream(interrupt=True), stderr=stderr)
    with at(demanding(), somebody) as here, pytest.raises(KeyboardInterrupt):
        here.get("/run")
    assert stderr.getvalue().endswith("(6 digits): \n")
    assert not somebody.asking


@pytest.mark.parametrize(("reads", "shows"), [(True, False), (False, True), (False, False)])
def test_nothing_is_asked_without_a_terminal(reads: bool, shows: bool) -> None:
    stdin, stderr = Stream(f"{GOOD}\n", terminal=reads), Stream(terminal=shows)
    server = demanding()
    with (
        at(server, Person({}, stdin=stdin, stderr=stderr)) as here,
        pytest.raises(AccessError, match="wants a two-factor code") as caught,
    ):
        here.get("/run")
    assert (stdin.lines, stderr.getvalue(), server.codes) == (0, "", [None])
    assert all(word in (caught.value.hint or "") for word in (VARIABLE, "totp_secret", "at a terminal"))


def test_the_environment_has_a_code_for_one_log_in() -> None:
    server = demanding()
    environ = {VARIABLE: "123 456"}
    somebody = Person(environ, stdin=Stream(terminal=False), stderr=Stream(terminal=False))
    with at(server, somebody) as here:
        assert here.get("/run").value == 1
        assert environ == {}, "what is started later does not get it"
        assert somebody.handed_on() == {VARIABLE: GOOD}, "but who continues this does"
        server.valid.clear()
        assert here.get("/run").value == 1
        assert server.refreshes == 1, "a refresh token needs no code"
    assert server.codes == [GOOD]


def test_a_later_log_in_needs_another_code() -> None:
    server = demanding(refresh_works=False)
    somebody, stdin, _ = person(f"{GOOD}\n{GOOD}\n")
    with at(server, somebody) as here:
        here.get("/run")
        here.attended = False  # a run goes on
        server.valid.clear()
        with pytest.raises(AccessError, match="the login has ended, and the server wants a two-factor code") as caught:
            here.get("/run")
    assert stdin.lines == 1, "nobody is asked in the middle of a run"
    assert caught.value.exit_code == 4
    assert "resume the run" in (caught.value.hint or "")


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "secret", "１２３４５６"])
def test_a_code_of_the_environment_that_is_wrong(code: str) -> None:
    server = demanding()
    somebody = Person({VARIABLE: code}, stdin=Stream(terminal=False), stderr=Stream(terminal=False))
    with at(server, somebody) as here:
        for _ in range(2):
            with pytest.raises(AccessError) as caught:
                here.get("/run")
        assert caught.value.exit_code == 4
        assert "V6FLOW_MFA_CODE" in f"{caught.value.message} {caught.value.hint}"
        assert code not in "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert len(server.codes) == (code == "000000")


def test_another_log_in_of_this_process_needs_no_code() -> None:
    server = demanding()
    somebody, stdin, _ = person(f"{GOOD}\n")
    with Fake(server) as fake:
        for _ in range(3):
            assert session_at(fake, somebody).get("/run").value == 1
        server.valid.clear()
        assert session_at(fake, somebody).get("/run").value == 1
    assert (stdin.lines, server.codes, server.refreshes) == (1, [None, GOOD], 1)


def test_many_threads_ask_once() -> None:
    server = demanding()
    somebody, stdin, _ = person(f"{GOOD}\n" * 20)
    with at(server, somebody) as here:
        threads = [threading.Thread(target=here.get, args=("/run",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert stdin.lines == 1


def test_a_server_without_two_factor_takes_no_notice_of_a_code() -> None:
    server = Vantage6({"/run": lambda _: say(1)})
    somebody, stdin, _ = person(V6FLOW_MFA_CODE=GOOD)
    with Fake(server) as fake:
        assert session_at(fake, somebody).get("/run").value == 1
    assert stdin.lines == 0


def test_a_code_is_shown_by_nothing() -> None:
    somebody, _, stderr = person(f"{GOOD}\n")
    with at(demanding(), somebody) as here:
        here.get("/run")
        token = here.access_token()
    shown = f"{somebody!r} {here!r} {vars(here)!r}"
    assert GOOD not in stderr.getvalue()
    assert not [each for each in (GOOD, PASSWORD, token) if each in shown]
    with pytest.raises(TypeError):
        pickle.dumps(somebody)


# --------------------------------------------------------------------------------------------------- the first log-in


def first(somebody: Person, server: Demanding | None = None) -> AccessError:
    server = server or demanding(secret=None)
    with at(server, somebody) as here:
        for _ in range(2):
            with pytest.raises(AccessError, match="set up two-factor login for somebody") as caught:
                here.get("/run")
    assert server.codes == [], "it is not tried again"
    error = caught.value
    assert error.exit_code == 4
    shown = "".join(traceback.format_exception(error)) + f"{error.message} {error.hint} {vars(here)!r}"
    assert SECRET not in shown
    assert "otpauth" not in shown
    return error


def test_the_first_log_in_at_a_terminal_shows_the_secret(tmp_path: Path) -> None:
    somebody, _, stderr = person(HOME=str(tmp_path))
    error = first(somebody)
    assert f"secret: {SECRET}\n" in stderr.getvalue()
    assert URI in stderr.getvalue()
    assert "shown above" in error.message
    assert "totp_secret: ${file:PATH}" in (error.hint or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [None, {"otp_secret": SECRET}, {"qr_uri": URI}], ids=str)
def test_the_first_log_in_without_a_terminal_writes_the_secret(
    tmp_path: Path, answer: dict[str, object] | None
) -> None:
    somebody, _, stderr = person(terminal=False, HOME=str(tmp_path))
    error = first(somebody, demanding(secret=None, answer=answer))
    (path,) = (tmp_path / ".config" / "v6flow").iterdir()
    assert path.read_text() == f"{SECRET}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "127.0.0.1" in path.name
    assert path.name.endswith("somebody")
    assert str(path) in error.message
    assert f"`totp_secret: ${{file:{path}}}`" in (error.hint or "")
    assert Secret(f"${{file:{path}}}", tmp_path).reveal() == SECRET, "what the hint says works"
    assert stderr.getvalue() == ""


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    somebody, _, _ = person(terminal=False, XDG_CONFIG_HOME=str(tmp_path), HOME="/nonexistent")
    names = [somebody.keep(secret, None, "u", "https://x/api").message for secret in ("A", "B", "C")]
    (tmp_path / "v6flow" / "elsewhere").symlink_to(tmp_path / "nothing")
    assert sorted(path.read_text() for path in (tmp_path / "v6flow").glob("totp_*")) == ["A\n", "B\n", "C\n"]
    assert [name.split(" is in ")[1].split(",")[0].rsplit("/", 1)[1] for name in names] == [
        "totp_x_api_u", "totp_x_api_u-2", "totp_x_api_u-3",
    ]  # fmt: skip


def test_the_secret_is_on_disk_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    somebody, _, _ = person(terminal=False, HOME=str(tmp_path))
    first(somebody)
    assert synced[0] == len(SECRET) + 1
    assert len(synced) == 2, "the folder too"


@pytest.mark.parametrize("odd", ["../../etc/passwd", "a b/c\n${x}", "é" * 300, ""])
def test_a_file_is_named_by_server_and_user_whatever_they_are(tmp_path: Path, odd: str) -> None:
    somebody, _, _ = person(terminal=False, HOME=str(tmp_path))
    error = somebody.keep(SECRET, None, odd, "https://v6.example.org/api")
    (path,) = (tmp_path / ".config" / "v6flow").iterdir()
    assert path.name.startswith("totp_v6.example.org_api")
    assert str(path) in error.message


def test_without_a_place_the_current_folder_has_it_and_else_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "file").touch()
    somebody, _, _ = person(terminal=False, HOME=str(tmp_path / "file"))
    assert str(tmp_path / "here") in first(somebody).message
    monkeypatch.setattr(second_factor, "_new_file", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    somebody, _, stderr = person(terminal=False, HOME=str(tmp_path))
    error = first(somebody)
    assert SECRET in stderr.getvalue(), "without it the user is locked out"
    assert "printed to stderr" in error.message


def test_a_terminal_that_cannot_be_written_to_is_none(tmp_path: Path) -> None:
    somebody = Person({"HOME": str(tmp_path)}, stdin=Stream(), stderr=Stream(full=True))
    assert " is in " in first(somebody).message
    (path,) = (tmp_path / ".config" / "v6flow").iterdir()
    assert path.read_text() == f"{SECRET}\n"
