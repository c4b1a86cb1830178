"""The client against a server on a real socket that misbehaves."""

from __future__ import annotations

import gzip
import io
import itertools
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time as real_time
from typing import TYPE_CHECKING, Any

import pytest
from vantage6_fake import CLOSE, RESET, Asked, Fake, Say, Time, broken_off, say, transport

from v6flow.backends.vantage6 import address
from v6flow.backends.vantage6.refusals import (
    AmbiguousError,
    DeniedError,
    NotSentError,
    RefusedError,
    StaleTokenError,
    TooLargeError,
    UntrustedError,
)
from v6flow.backends.vantage6.transport import CONNECTIONS, Limits, Transport
from v6flow.errors import FederationError, UnreachableError
from v6flow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def after(*first: Say, then: Say) -> Callable[[Asked], Say]:
    """Answers in turn, and the last one for ever."""
    waiting = list(first)
    return lambda _: waiting.pop(0) if waiting else then


def test_a_read_carries_what_it_must_and_nothing_else() -> None:
    with Fake(lambda _: say({"msg": "hé"}, Set_Cookie="a=b")) as fake:
        client = transport(fake)
        for _ in range(2):
            answer = client.get("/version", [("name", "%a b&"), ("page", 2)], token="t.o.k")
    assert answer.value == {"msg": "hé"}
    asked = fake.asked[1]
    assert (asked.method, asked.path, asked.params) == ("GET", "/api/version", {"name": "%a b&", "page": "2"})
    assert asked.headers["user-agent"] == f"v6flow/{__version__}"
    assert asked.token == "t.o.k"
    assert "cookie" not in asked.headers


def test_connections_are_kept_and_few() -> None:
    here = threading.Barrier(CONNECTIONS)

    def answer(asked: Asked) -> Say:
        if asked.params.get("n") == "first":
            here.wait(20)
        return say(1)

    with Fake(answer) as fake:
        client = transport(fake)
        threads = [threading.Thread(target=client.get, args=("/x", [("n", "first")])) for _ in range(CONNECTIONS)]
        threads += [threading.Thread(target=client.get, args=("/x",)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(fake.asked) == CONNECTIONS + 12
    assert fake.connections == CONNECTIONS


def test_no_answer_waits_for_a_delayed_acknowledgement() -> None:
    times = []
    with Fake(lambda _: say({"version": "4.15.2"})) as fake:
        client = transport(fake)
        for _ in range(30):
            began = real_time.perf_counter()
            client.get("/version")
            times.append(real_time.perf_counter() - began)
    assert fake.connections == 1
    assert statistics.median(times) < 0.025, "Linux waits for 0.04 s if nothing is done about it"


def test_a_connection_that_was_idle_for_long_is_not_used() -> None:
    time = Time()
    with Fake(lambda _: say(1)) as fake:
        client = transport(fake, time)
        client.get("/x")
        time.moment += 20
        client.get("/x")
        assert fake.connections == 1
        time.moment += 31
        client.get("/x")
        assert fake.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        RESET,
        CLOSE,
        broken_off({"data": [1, 2, 3]}),
        say(status=502, body=b"<html>Bad gateway</html>"),
        say({"msg": "busy"}, 504),
        say({"msg": "An unexpected error occurred on the server!"}, 500),
        say(body=b""),
        say(body=b'{"half": '),
        say(body=b"<html>Welcome</html>"),
        say(body=b'{"a": 1, "a": 2}'),
        say(body=b'{"a": NaN}'),
        say(body=b"\x1f\x8b broken", Content_Encoding="gzip"),
        say(body=gzip.compress(b'{"a": 1}')[:-9], Content_Encoding="gzip"),
        say(body=b"{}", Content_Encoding="br"),
        Say((b"SSH-2.0-OpenSSH\r\n\r\n",), "close"),
        Say((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",), "close"),
    ],
    ids=lambda said: repr(b"".join(said.pieces))[:50] + said.then,
)
def test_a_read_without_an_answer_is_tried_again_and_a_post_is_not(said: Say) -> None:
    with Fake(after(said, then=say({"data": []}))) as fake:
        assert transport(fake).get("/run").value == {"data": []}
        assert len(fake.asked) == 2
    with Fake(after(said, then=say({"id": 1}, 201))) as fake:
        with pytest.raises(AmbiguousError) as caught:
            transport(fake).post("/task", {"secret": "planted"}, token="planted.token.x")
        assert len(fake.asked) == 1
    assert "planted" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__!r}"
    assert caught.value.exit_code == 5


def test_reads_are_tried_again_with_growing_waits_until_patience_ends() -> None:
    time = Time()
    with Fake(lambda _: RESET) as fake, pytest.raises(UnreachableError, match=r"reset|closed"):
        transport(fake, time, patience=20.0, longest_wait=4.0).get("/run")
    assert time.slept == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert len(fake.asked) == 8


def test_waits_have_jitter() -> None:
    time = Time()
    with Fake(after(RESET, RESET, then=say(1))) as fake:
        client = transport(fake, time)
        client._random = lambda: 0.0
        client.get("/run")
    assert time.slept == [0.25, 0.5]


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "86400"}, 120.0),
        ({"Retry_After": "Sat, 21 Nov 2026 10:00:09 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 9.0),
        ({"Retry_After": "soon"}, 0.5),
        ({"Retry_After": "9" * 400}, 120.0),
        ({"Retry_After": "Fri, 31 Dec 9999 10:00:09 +999999999999999", "Date": "Mon, 01 Jan 0001 00:00:00 -0000"}, 0.5),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_time_gets_it(status: int, headers: dict[str, Any], waited: float) -> None:
    time = Time()
    with Fake(after(say({"msg": "later"}, status, **headers), then=say(1))) as fake:
        assert transport(fake, time, patience=200.0).get("/run").value == 1
    assert time.slept == [waited]


def test_a_post_that_was_turned_away_has_not_arrived() -> None:
    with Fake(lambda _: say({"msg": "later"}, 429, Retry_After="7")) as fake:
        with pytest.raises(NotSentError) as caught:
            transport(fake).post("/task", {})
        assert caught.value.retry_after == 7.0
        assert len(fake.asked) == 1


def test_nothing_is_sent_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotSentError, match="nothing listens there"):
        transport(f"http://127.0.0.1:{port}").post("/task", {})


def test_a_silent_server_is_left_after_a_while() -> None:
    let_go = threading.Event()

    def silent(_: Asked) -> Say:
        let_go.wait(20)
        return CLOSE

    with Fake(silent) as fake, pytest.raises(AmbiguousError, match="not respond in time"):
        transport(fake, silence=0.05).post("/task", {})
    let_go.set()


class Dripping(Time):
    """A second passes at each look at the clock, and lets one more byte through."""

    def __init__(self) -> None:
        super().__init__(tick=1.0)
        self._bytes = threading.Semaphore(0)

    def now(self) -> float:
        self._bytes.release()
        return super().now()

    def drip(self, data: bytes) -> Iterator[bytes]:
        for each in data:
            self._bytes.acquire(timeout=20)
            yield bytes([each])


@pytest.mark.parametrize("where", ["head", "body", "chunks"])
def test_a_body_that_drips_ends_at_the_total_deadline(where: str) -> None:
    time = Dripping()
    if where == "head":
        said = Say(time.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100))
    else:
        coding = b"Content-Length: 1000" if where == "body" else b"Transfer-Encoding: chunked"
        body = b"x" * 100 if where == "body" else b"1\r\nx\r\n" * 20
        said = Say(itertools.chain([b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % coding], time.drip(body)))
    with Fake(lambda _: said) as fake, pytest.raises(AmbiguousError, match="too long in all"):
        transport(fake, time, total=40.0).post("/task", {})
    assert time.moment < 1000 + 60


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with Fake(lambda _: say(1)) as other:

        def redirect(asked: Asked) -> Say:
            there = other.origin if asked.params else ""
            return say({}, status, Location=f"{there}/elsewhere?token=planted")

        with Fake(redirect) as fake:
            client = transport(fake)
            tries: tuple[Callable[[], object], ...] = (
                lambda: client.get("/run", token="a.b.c"),
                lambda: client.get("/run", [("there", 1)], token="a.b.c"),
                lambda: client.post("/task", {}, token="a.b.c"),
                lambda: client.download("/blob", io.BytesIO(), limit=9, token="a.b.c"),
            )
            for send in tries:
                with pytest.raises(RefusedError, match="does not follow") as caught:
                    send()
                assert "planted" not in str(caught.value)
            assert len(fake.asked) == 4
        assert other.asked == []


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 501])
def test_a_refusal_is_final_and_has_the_servers_words(status: int) -> None:
    words = {"msg": "Request body is incorrect\x1b[31m", "errors": {"name": ["too long", "a number"]}}
    with Fake(lambda _: say(words, status)) as fake:
        with pytest.raises(RefusedError, match=r"Request body is incorrect \[31m; name: too long a number") as caught:
            transport(fake).get("/x")
        assert len(fake.asked) == 1
    assert caught.value.status == status
    assert "\x1b" not in str(caught.value)


def test_a_page_that_is_not_the_api_has_no_words() -> None:
    with Fake(lambda _: say(body=b"<html>404</html>", status=404)) as fake, pytest.raises(RefusedError) as caught:
        transport(fake).get("/x")
    assert caught.value.said is None
    assert "/api" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, {"msg": "Token has expired"}, StaleTokenError),
        (401, {"msg": "Missing Authorization Header"}, StaleTokenError),
        (401, {"msg": "You lack the permission to view tasks!"}, DeniedError),
        (401, {"msg": "Failed to login"}, DeniedError),
        (401, "<html>", DeniedError),
        (422, {"msg": "Signature verification failed"}, StaleTokenError),
        (422, {"msg": "Not enough segments"}, StaleTokenError),
        (422, {"msg": "the algorithm does not know this argument"}, RefusedError),
    ],
)
def test_what_a_refusal_means_is_told_by_its_words(status: int, words: object, kind: type[Exception]) -> None:
    with Fake(lambda _: say(words, status)) as fake:
        with pytest.raises(kind):
            transport(fake).get("/x", token="a.b.c")
        assert len(fake.asked) == 1


def test_what_was_sent_in_confidence_is_not_shown_if_the_server_repeats_it() -> None:
    def parrot(asked: Asked) -> Say:
        return say({"msg": f"no: {asked.body.decode()} {asked.json['password']} {asked.token} p%C3%A4ss"}, 400)

    with Fake(parrot) as fake, pytest.raises(RefusedError) as caught:
        transport(fake).post("/token/user", {"password": 'p"äss'}, token="a.b.c", hidden=('p"äss', "päss"))
    error = caught.value
    shown = f"{error} {error.args} {error.message} {error.said}"
    for planted in ('p"äss', 'p\\"\\u00e4ss', "a.b.c", "p%C3%A4ss"):
        assert planted not in shown


def test_a_gzip_bomb_is_stopped_at_the_cap() -> None:
    bomb = gzip.compress(b'"' + b"0" * 200_000_000 + b'"')
    with Fake(lambda _: say(body=bomb, Content_Encoding="gzip")) as fake:
        client = transport(fake, body=1_000_000)
        with pytest.raises(TooLargeError, match="1000000 bytes"):
            client.get("/x")
        with pytest.raises(TooLargeError):
            client.download("/x", io.BytesIO(), limit=1_000_000)
    assert len(fake.asked) == 2


def test_what_was_left_unread_is_not_taken_for_the_next_answer() -> None:
    head, body = say(body=b"[" + b"1," * 100_000 + b"1]").pieces

    def answer(asked: Asked) -> Say:
        if len(fake.asked) == 1:
            return Say((head, body[:70_000]))  # more than one piece
        rest = (body[70_000:],) if fake.connections == 1 else ()
        return Say((*rest, *say({"id": 1}).pieces))

    with Fake(answer) as fake:
        client = transport(fake, body=500)
        with pytest.raises(TooLargeError):
            client.get("/x")
        assert client.post("/task", {}).value == {"id": 1}


def test_packed_answers_are_unpacked() -> None:
    with Fake(lambda _: say(body=gzip.compress(b'{"a": "%s"}' % (b"x" * 300_000)), Content_Encoding="gzip")) as fake:
        assert transport(fake).get("/x").value == {"a": "x" * 300_000}


def test_a_download_that_broke_off_begins_again() -> None:
    body = bytes(range(256)) * 1000
    head, whole = say(body=body).pieces
    with Fake(after(Say((head, whole[:1000]), "reset"), then=say(body=body))) as fake:
        sink = io.BytesIO(b"before")
        sink.seek(6)
        transport(fake).download("/blobstream/x", sink, limit=len(body))
    assert sink.getvalue() == b"before" + body


def test_deep_json_is_an_error_and_not_a_crash() -> None:
    with Fake(lambda _: say(body=b"[" * 100_000)) as fake, pytest.raises(UnreachableError):
        transport(fake, patience=0.0).get("/x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://v6.example.org/api", "plain http"),
        ("http://127.0.0.1.example.org/api", "plain http"),
        ("http://10.0.0.1/api", "plain http"),
        ("https://somebody:planted@v6.example.org/api", "user name or password"),
        ("ftp://v6.example.org", "is not one"),
        ("https:///api", "is not one"),
        ("https://v6.example.org:99999/api", "cannot be read"),
        ("https://v6.example.org/api?token=planted", "ends with"),
    ],
)
def test_addresses_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(FederationError, match=words) as caught:
        address.parse(text)
    assert "planted" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize(
    "text", ["http://127.8.0.1:5000/api", "http://localhost/api", "http://[::1]:80/api", "https://x"]
)
def test_addresses_that_are_taken(text: str) -> None:
    assert str(address.parse(text + "/")) == text
    assert address.parse("http://far/api", allow_http=True).host == "far"


def test_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Fake(lambda _: say(1)) as fake:
        assert transport(fake).get("/x").value == 1
    with pytest.raises(NotSentError):
        transport("https://v6.example.org", patience=0.0).get("/x")


def test_a_proxy_is_used_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Fake(lambda _: say(1)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        client = Transport(address.parse("http://v6.example.org/api", allow_http=True), environ={})
        assert client.get("/x").value == 1
        assert proxy.asked[0].headers["host"] == "v6.example.org"
        monkeypatch.setenv("https_proxy", proxy.origin)
        client = Transport(address.parse("https://v6.example.org/api"), environ={}, limits=Limits(patience=0.0))
        with pytest.raises(NotSentError):  # the fake does not know CONNECT as a proxy does
            client.post("/task", {"secret": 1}, token="a.b.c")
        assert [asked.method for asked in proxy.asked] == ["GET", "CONNECT"]
        assert proxy.asked[1].token is None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine that nobody else vouches for, with its key."""
    pytest.importorskip("cryptography")
    path = tmp_path / "server.pem"
    subprocess.run([sys.executable, "-c", CERTIFICATE, str(path)], check=True, timeout=60)
    return path


def test_a_certificate_must_be_trusted_and_ca_file_makes_it_so(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Fake(lambda _: say({"version": "4"}), tls=context) as fake:
        there = address.parse(f"https://127.0.0.1:{fake.port}/api")
        trusting = Transport(there, ca_file=str(certificate), environ={})
        by_environment = Transport(there, environ={"REQUESTS_CA_BUNDLE": str(certificate)})
        strict = Transport(there, environ={})
        assert trusting.get("/version").value == {"version": "4"}
        assert by_environment.get("/version").value == {"version": "4"}
        before = len(fake.asked)
        with pytest.raises(UntrustedError, match=r"self.signed") as caught:
            strict.get("/version", token="a.b.c")
        assert "ca_file" in (caught.value.hint or "")
        assert len(fake.asked) == before
    with pytest.raises(FederationError, match="there is no certificate authority's file"):
        Transport(there, ca_file=str(tmp_path / "none"))


CERTIFICATE = """
import datetime, ipaddress, pathlib, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
now = datetime.datetime.now(datetime.timezone.utc)
day = datetime.timedelta(days=1)
made = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    .sign(key, hashes.SHA256())
)
pathlib.Path(sys.argv[1]).write_bytes(
    key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    + made.public_bytes(serialization.Encoding.PEM)
)
"""
