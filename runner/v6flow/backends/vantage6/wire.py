"""The sockets under the client: no answer waits for a delayed acknowledgement, none drips past its deadline.

A vantage6 server sends headers and body in two segments. On a kept-alive connection Linux delays by 40 ms the
acknowledgement that the second waits for. TCP_QUICKACK ends that; the kernel takes it back by itself, so it is
set before each read.
"""

from __future__ import annotations

import http.client
import io
import socket
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_IDLE = 30.0  # seconds; a connection that was idle for longer may have been forgotten by what lies between
BUFFER = 64 * 1024


class TotalDeadlineError(TimeoutError):
    """A request took longer in all than it may."""


class RequestAttempt(Struct):
    """One request on its way: until when it may last, how long a silence may be, whether any of it left."""

    until: float  # on `clock`
    silence: float  # seconds
    clock: Callable[[], float]
    sent: bool = False

    def left(self) -> float:
        """The seconds that are left. Raises TotalDeadlineError."""
        left = self.until - self.clock()
        if left <= 0:
            raise TotalDeadlineError("it took too long in all")
        return left


_ATTEMPT: ContextVar[RequestAttempt] = ContextVar("attempt")


@contextmanager
def under_way(attempt: RequestAttempt) -> Iterator[None]:
    """What is sent and read in this context belongs to that attempt."""
    token = _ATTEMPT.set(attempt)
    try:
        yield
    finally:
        _ATTEMPT.reset(token)


class _Raw(io.RawIOBase):
    """What comes from a socket, within the deadlines of the attempt under way."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # which keeps the socket open until it is closed itself

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        attempt = _ATTEMPT.get()
        self._sock.settimeout(min(attempt.left(), attempt.silence))
        _acknowledge_at_once(self._sock)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Source:
    """All that http.client wants of a socket to read an answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._sock), BUFFER)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Source(sock), *args, **kwargs)  # type: ignore[arg-type]  # it only calls makefile


class _PromptConnection(HTTPConnection):
    response_class = _Response
    _connecting = False
    _used: float | None = None

    def connect(self) -> None:
        self._connecting = True  # what a proxy is told while connecting is not the request
        try:
            super().connect()
        finally:
            self._connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        attempt = _ATTEMPT.get()
        self.sock.settimeout(attempt.left())
        if not self._connecting:
            attempt.sent = True
            self._used = attempt.clock()
        super().send(data)

    @property
    def is_connected(self) -> bool:
        if self._used is not None and _ATTEMPT.get().clock() - self._used > LONGEST_IDLE:
            return False
        return super().is_connected


class _PromptTlsConnection(_PromptConnection, HTTPSConnection):
    pass


class _PromptPool(HTTPConnectionPool):
    ConnectionCls = _PromptConnection


class _PromptTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PromptTlsConnection


_POOLS = {"http": _PromptPool, "https": _PromptTlsPool}


class PromptAdapter(HTTPAdapter):
    """An adapter of requests whose connections obey the attempt under way; it retries nothing."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=connections, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Make the pool of connections through a proxy; those through SOCKS are of their own kind."""
        manager: Any = super().proxy_manager_for(proxy, **kwargs)
        if not str(proxy).lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _acknowledge_at_once(sock: socket.socket) -> None:
    option = getattr(socket, "TCP_QUICKACK", None)  # Linux only
    if option is not None:
        with suppress(OSError, AttributeError):  # TLS within TLS, or closed: reading will tell
            sock.setsockopt(socket.IPPROTO_TCP, option, 1)
