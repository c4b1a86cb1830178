"""A server on a real socket that answers as it is told to, and a clock that nobody waits for."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from v6flow.backends.vantage6 import address
from v6flow.backends.vantage6.session import Session
from v6flow.backends.vantage6.tokens import Credentials
from v6flow.backends.vantage6.transport import Limits, Transport
from v6flow.references import Secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

PASSWORD, TOTP_SECRET = 'pl"nted pässword/+~~~?>?>?>', "JBSWY3DPEHPK3PXP"


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True)
class Say:
    """An answer: its bytes in the pieces they are sent in, then what becomes of the connection."""

    pieces: Iterable[bytes]
    then: str = "keep"  # close, reset


def say(value: object = None, status: int = 200, *, body: bytes | None = None, **headers: str) -> Say:
    """An answer as a vantage6 server gives it: headers and body in two segments."""
    body = json.dumps(value).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return Say(("\r\n".join([*lines, "\r\n"]).encode(), body))


RESET = Say((), "reset")
CLOSE = Say((), "close")


def broken_off(value: object) -> Say:
    """Half an answer."""
    head, body = say(value).pieces
    return Say((head, body[: len(body) // 2]), "close")


class Fake:
    """Answers each request by `answer(asked)`; `asked` are all requests, `connections` how many were opened."""

    def __init__(self, answer: Callable[[Asked], Say], *, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self.asked: list[Asked] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while asked := _read(stream):
                    self.asked.append(asked)
                    said = self._answer(asked)
                    for piece in said.pieces:
                        connection.sendall(piece)
                    if said.then == "reset":
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if said.then != "keep":
                        return
        except (OSError, ValueError):
            return


def _read(stream: Any) -> Asked | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split()
    headers = {}
    while (line := stream.readline().decode().strip()) != "":
        name, _, text = line.partition(":")
        headers[name.lower()] = text.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


class Time:
    """A clock that goes on by what is slept, and by `tick` each time it is read."""

    def __init__(self, *, tick: float = 0.0) -> None:
        self.moment = 1000.0
        self.tick = tick
        self.slept: list[float] = []

    def now(self) -> float:
        self.moment += self.tick
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds


def transport(fake: Fake | str, time: Time | None = None, **limits: float) -> Transport:
    """A transport to a fake server under /api, whose waits have no jitter."""
    time = time or Time()
    return Transport(
        address.parse(fake if isinstance(fake, str) else f"{fake.origin}/api"),
        limits=Limits(**limits),  # type: ignore[arg-type]  # `body` is an int, and nobody gives it here as another
        clock=time.now,
        sleep=time.sleep,
        random=lambda: 1.0,
        environ={},
    )


def jwt(user: int = 7, *, life: float = 21600.0, serial: int = 0) -> str:
    """A token that says whose it is and how long it lives; its own times are far from ours."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256'})}.{part({'sub': user, 'iat': 50, 'exp': 50 + life, 'jti': serial})}.c2lnbmF0dXJl"


def session(fake: Fake, time: Time | None = None, *, two_factor: bool = False, **limits: float) -> Session:
    """A session with a fake server."""
    time = time or Time()
    folder = Path("/nonexistent")
    environ = {"USERNAME": "somebody", "PASSWORD": PASSWORD, "TOTP": TOTP_SECRET}

    def secret(name: str) -> Secret:
        return Secret(f"${{env:{name}}}", folder, environ=environ)

    credentials = Credentials(secret("USERNAME"), secret("PASSWORD"), secret("TOTP") if two_factor else None)
    return Session(transport(fake, time, **limits), credentials, clock=time.now, now=lambda: 59.0)


@dataclass
class Vantage6:
    """Answers log-ins and refreshes as vantage6 does, and all else by `routes` (path without /api → answer)."""

    routes: dict[str, Callable[[Asked], Say]] = field(default_factory=dict)
    logins: int = 0
    refreshes: int = 0
    life: float = 21600.0
    valid: set[str] = field(default_factory=set)
    refresh_works: bool = True

    def __call__(self, asked: Asked) -> Say:
        path = asked.path.removeprefix("/api")
        if path == "/token/user":
            self.logins += 1
            return self._tokens()
        if path == "/token/refresh":
            self.refreshes += 1
            return self._tokens() if self.refresh_works else say({"msg": "Token has expired"}, 401)
        if asked.token not in self.valid and path != "/version":
            return say({"msg": "Token has expired"}, 401)
        route = self.routes.get(path)
        return route(asked) if route else say(body=b"<!doctype html><title>404</title>", status=404)

    def _tokens(self) -> Say:
        token = jwt(life=self.life, serial=self.logins + 100 * self.refreshes)
        self.valid = {token}
        return say({"access_token": token, "refresh_token": f"refresh-{token}"})
