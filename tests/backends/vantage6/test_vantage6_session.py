"""Log-in and tokens against a server that answers as vantage6 does."""

from __future__ import annotations

import base64
import json
import pickle
import threading
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from vantage6_fake import PASSWORD, RESET, TOTP_SECRET, Asked, Fake, Say, Time, Vantage6, say, session

from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError, RefusedError
from v6flow.errors import AccessError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable


def test_one_log_in_serves_all_threads() -> None:
    server = Vantage6({"/run": lambda _: say({"data": []})})
    with Fake(server) as fake:
        here = session(fake)
        together(20, lambda: here.get("/run"))
    assert (server.logins, server.refreshes) == (1, 0)
    assert fake.asked[0].json == {"username": "somebody", "password": PASSWORD}


def test_an_expired_token_is_renewed_once_for_all_threads() -> None:
    barrier = threading.Barrier(4)
    first: list[str] = []

    def run(asked: Asked) -> Say:
        return say({"data": []})

    server = Vantage6({"/run": run})

    def answer(asked: Asked) -> Say:
        if asked.path == "/api/run" and asked.token in first:
            barrier.wait(20)  # all four connections carry the old token before any is told
            return say({"msg": "Token has expired"}, 401)
        return server(asked)

    with Fake(answer) as fake:
        here = session(fake)
        first.append(here.access_token())
        together(4, lambda: here.get("/run"))
        assert (server.logins, server.refreshes) == (1, 1)
        assert here.access_token() not in first
        assert fake.asked[-1].token == here.access_token()
    (refresh,) = [asked for asked in fake.asked if asked.path == "/api/token/refresh"]
    assert refresh.token == f"refresh-{first[0]}"


def test_many_threads_with_an_expired_token_cause_one_refresh() -> None:
    server = Vantage6({"/run": lambda _: say({"data": []})})
    with Fake(server) as fake:
        here = session(fake)
        here.get("/run")
        server.valid.clear()
        together(30, lambda: here.get("/run"))
    assert (server.logins, server.refreshes) == (1, 1)


def test_a_token_is_renewed_before_its_end_whatever_our_clock_says() -> None:
    time = Time()
    server = Vantage6({"/run": lambda _: say(1)}, life=1800.0)
    with Fake(server) as fake:
        here = session(fake, time)
        here.get("/run")
        time.moment += 1700.0
        here.get("/run")
        assert server.refreshes == 0
        time.moment += 41.0
        together(8, lambda: here.get("/run"))
        assert server.refreshes == 1
    assert {asked.path for asked in fake.asked if asked.path == "/api/run"}
    assert not [asked for asked in fake.asked if asked.path == "/api/run" and asked.token is None]


def test_a_new_log_in_when_the_refresh_token_is_gone() -> None:
    server = Vantage6({"/run": lambda _: say(1)}, refresh_works=False)
    with Fake(server) as fake:
        here = session(fake)
        here.get("/run")
        server.valid.clear()
        assert here.get("/run").value == 1
    assert (server.logins, server.refreshes) == (2, 1)


def test_a_post_that_a_stale_token_refused_was_not_carried_out_and_is_sent_anew() -> None:
    server = Vantage6({"/task": lambda _: say({"id": 1}, 201)})
    with Fake(server) as fake:
        here = session(fake)
        here.access_token()
        server.valid.clear()
        assert here.post("/task", {}).value == {"id": 1}
    assert [asked.path for asked in fake.asked].count("/api/task") == 2


def test_a_post_without_an_answer_is_not_sent_anew() -> None:
    server = Vantage6({"/task": lambda _: RESET})
    with Fake(server) as fake, pytest.raises(AmbiguousError):
        session(fake).post("/task", {})
    assert [asked.path for asked in fake.asked].count("/api/task") == 1


def test_a_missing_right_renews_nothing() -> None:
    server = Vantage6({"/task": lambda _: say({"msg": "You lack the permission to do that!"}, 401)})
    with Fake(server) as fake, pytest.raises(DeniedError, match="You lack the permission"):
        session(fake).get("/task")
    assert (server.logins, server.refreshes) == (1, 0)


def test_a_token_that_is_never_taken_is_an_error_and_no_endless_loop() -> None:
    server = Vantage6({"/task": lambda _: say({"msg": "Token has expired"}, 401)})
    with Fake(server) as fake, pytest.raises(AccessError):
        session(fake).get("/task")
    assert (server.logins, server.refreshes) == (1, 1)


def test_a_refused_log_in_is_never_tried_again() -> None:
    with Fake(lambda _: say({"msg": "Failed to login"}, 401)) as fake:
        here = session(fake)
        for _ in range(3):
            with pytest.raises(AccessError, match="the user name or the password is wrong") as caught:
                here.get("/run")
            assert caught.value.exit_code == 4
        errors = together(10, lambda: here.get("/run"))
        assert len(fake.asked) == 1
    assert len(errors) == 10


def test_a_log_in_that_got_no_answer_may_have_counted_and_is_not_repeated_by_itself() -> None:
    with Fake(lambda _: RESET) as fake:
        with pytest.raises(UnreachableError):
            session(fake).get("/run")
        assert len(fake.asked) == 1


def test_a_log_in_is_repeated_while_the_server_turns_it_away() -> None:
    server = Vantage6({"/run": lambda _: say(1)})
    busy = [say({"msg": "later"}, 429), say({"msg": "later"}, 429)]
    with Fake(lambda asked: busy.pop() if busy else server(asked)) as fake:
        assert session(fake).get("/run").value == 1
    assert server.logins == 1


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (say({"msg": "Please include your two-factor authentication code"}), "wants a two-factor code", "totp_secret"),
        (
            say({"msg": "x", "otp_secret": "planted", "qr_uri": "otpauth://planted"}),
            "has never logged in",
            "log in once",
        ),
        (
            say({"msg": "Your two-factor authentication code is incorrect!"}, 401),
            "does not accept the two-factor",
            "clock",
        ),
        (say({}), "returned no token", ""),
        (
            say({"msg": "Request body is incorrect", "errors": {"password": ["too short"]}}, 400),
            "password: too short",
            "",
        ),
        (say(body=b"<html>Sign in</html>", status=401), "something in front of the vantage6 server", ""),
    ],
)
def test_an_answer_without_a_token_is_no_log_in(answer: Say, words: str, hint: str) -> None:
    with Fake(lambda _: answer) as fake, pytest.raises(AccessError, match=words) as caught:
        session(fake).get("/run")
    assert hint in (caught.value.hint or "")
    assert "planted" not in "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)
    assert len(fake.asked) == 1


def test_the_code_of_two_factor_log_in_is_computed() -> None:
    server = Vantage6({"/run": lambda _: say(1)})
    with Fake(server) as fake:
        session(fake, two_factor=True).get("/run")
    assert fake.asked[0].json["mfa_code"] == "996554"  # for 59 s after 1970 began
    assert TOTP_SECRET.encode() not in fake.asked[0].body


def test_who_we_are_is_in_the_token() -> None:
    with Fake(Vantage6()) as fake:
        assert session(fake).user_id() == 7


def shapes(secret: str) -> set[str]:
    """All the ways in which a secret may be written."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(secret.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    }


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
@pytest.mark.parametrize(
    "encoding", [str, json.dumps, quote, quote_plus, lambda text: base64.b64encode(text.encode()).decode()]
)
def test_a_server_that_repeats_secrets_does_not_bring_them_into_an_error(
    status: int, encoding: Callable[[str], str]
) -> None:
    def parrot(asked: Asked) -> Say:
        sent = [asked.token or "", *(asked.json.values() if asked.body else ())]
        return say({"msg": " ".join(encoding(text) for text in sent), "errors": {"x": [asked.body.decode()]}}, status)

    server = Vantage6({"/run": parrot})
    for answer in (parrot, server):
        with Fake(answer) as fake:
            here = session(fake, two_factor=True, patience=0.0)
            with pytest.raises((AccessError, RefusedError, UnreachableError)) as caught:
                here.get("/run")
            error: BaseException | None = caught.value
            shown = "".join(traceback.format_exception(caught.value)) + repr(vars(here)) + repr(here)
            while error is not None:
                shown += f"{error!r} {vars(error)}"
                error = error.__cause__ or error.__context__
            tokens = [asked.token for asked in fake.asked if asked.token]
            for secret in (PASSWORD, TOTP_SECRET, *tokens):
                for shape in shapes(secret):
                    assert shape not in shown


def test_tokens_are_neither_shown_nor_pickled() -> None:
    with Fake(Vantage6()) as fake:
        here = session(fake)
        token = here.access_token()
        tokens = here._current()
    assert token not in f"{tokens} {tokens!r} {vars(here)}"
    with pytest.raises(TypeError):
        pickle.dumps(tokens)


def together(count: int, do: Callable[[], object]) -> list[Exception]:
    """Do it in so many threads at once; the errors."""
    errors: list[Exception] = []

    def one() -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001  all are wanted
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


@pytest.mark.parametrize(
    "times",
    [{"exp": 10**400}, {"exp": -(10**400)}, {"exp": 10**400, "iat": 10**400}, {"exp": 1e308, "iat": -1e308},
     {"exp": "soon"}, {"exp": [1]}, {"exp": True}, {"exp": None, "iat": {}}, {"exp": 0, "iat": 50},
     {"exp": 60, "iat": 10**400}, {}],
    ids=lambda times: f"{times}"[:40],
)  # fmt: skip
def test_a_token_with_absurd_times_is_renewed_after_a_while(times: dict[str, object]) -> None:
    middle = base64.urlsafe_b64encode(json.dumps({"sub": 7, **times}).encode()).rstrip(b"=").decode()
    server = Vantage6({"/task": lambda _: say({"data": []})})

    def answer(asked: Asked) -> Say:
        said = server(asked)
        if asked.path.endswith("/token/user"):
            server.valid = {f"a.{middle}.c{server.logins}"}
            return say({"access_token": f"a.{middle}.c{server.logins}"})
        return said

    clock = Time()
    with Fake(answer) as fake:
        here = session(fake, clock)
        for _ in range(3):
            here.get("/task")
        assert server.logins == 1, "it is taken for a token that lives"
        clock.sleep(601.0)
        here.get("/task")
        assert server.logins == 2
