"""A proxy between clients and a server on loopback: forwards every byte at once, and records each request's times."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
LONGEST_HEAD = 64 * 1024
EVENTS = "/socket.io/"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Exchange:
    """A request and its answer; times are in seconds on `time.perf_counter`."""

    method: str
    path: str  # without the query
    arrived: float  # the head had arrived
    status: int = 0
    answered: float | None = None  # the whole answer was forwarded

    @property
    def is_event(self) -> bool:
        """Whether it belongs to Socket.IO."""
        return self.path.startswith(EVENTS)


@dataclass(slots=True)
class Side:
    """A port for some of the clients, and the traffic through it."""

    port: int = 0
    deaf: bool = False  # Socket.IO is refused
    exchanges: list[Exchange] = field(default_factory=list)
    bytes: int = 0  # both ways, heads included
    sockets: set[_Near] = field(default_factory=set)  # connections that are no longer HTTP


class Between:
    """One port for each side; a thread serves them until `close`."""

    def __init__(self, upstream: int, **sides: Side) -> None:
        self.sides = sides
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for side in sides.values():
            asyncio.run_coroutine_threadsafe(self._listen(side), self._loop).result(10)

    def close(self) -> None:
        """Stop serving, and close all connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def deafen(self, name: str, deaf: bool) -> None:
        """Refuse Socket.IO on a side and close its connections; or allow it again."""
        asyncio.run_coroutine_threadsafe(self._deafen(self.sides[name], deaf), self._loop).result(10)

    async def _deafen(self, side: Side, deaf: bool) -> None:
        side.deaf = deaf
        for near in list(side.sockets):
            near.cut()

    async def _listen(self, side: Side) -> None:
        server = await self._loop.create_server(lambda: _Near(side, self._upstream), HOST, 0)
        side.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Messages:
    """Parses the messages in one direction of a connection without changing the bytes."""

    def __init__(self, head: Callable[[str, dict[str, str]], bool], end: Callable[[], None]) -> None:
        """`head` gets first lines and headers, and returns whether a body may follow; `end` is called at the end."""
        self._head, self._end = head, end
        self._buffer = bytearray()
        self._left = 0  # bytes of a body or a chunk
        self._state = "head"  # body, chunk, size, trailer; "rest": no more messages

    def feed(self, data: bytes) -> None:
        """Parse received bytes."""
        self._buffer += data
        while self._buffer and self._state != "rest":
            if self._state in ("body", "chunk"):
                taken = min(self._left, len(self._buffer))
                del self._buffer[:taken]
                self._left -= taken
                if self._left:
                    return
                if self._state == "body":
                    self._over()
                else:
                    self._state = "size"
            elif self._state == "head":
                if not self._read_head():
                    return
            elif not self._read_line():
                return
        if self._state == "rest":
            self._buffer.clear()

    def no_more(self) -> None:
        """Treat the rest as not HTTP."""
        self._state = "rest"

    def _read_head(self) -> bool:
        cut = self._buffer.find(b"\r\n\r\n")
        if cut < 0:
            assert len(self._buffer) < LONGEST_HEAD, "no head of HTTP"
            return False
        first, *lines = self._buffer[:cut].decode("latin-1").split("\r\n")
        del self._buffer[: cut + 4]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        has_body = self._head(first, headers)
        if self._state == "rest":
            return True
        if has_body and headers.get("transfer-encoding", "").lower() == "chunked":
            self._state = "size"
        elif has_body and int(headers.get("content-length", "0")):
            self._state, self._left = "body", int(headers["content-length"])
        else:
            self._over()
        return True

    def _read_line(self) -> bool:
        """Parse a chunk's size, the empty line after a chunk, or the end of the chunks."""
        cut = self._buffer.find(b"\r\n")
        if cut < 0:
            return False
        line = bytes(self._buffer[:cut]).partition(b";")[0].strip()
        del self._buffer[: cut + 2]
        if self._state == "trailer":
            if not line:
                self._over()
        elif line:
            self._left = int(line, 16)
            self._state = "chunk" if self._left else "trailer"
        return True

    def _over(self) -> None:
        self._state = "head"
        self._end()


class _Near(asyncio.Protocol):
    """A client's connection."""

    def __init__(self, side: Side, upstream: int) -> None:
        self._side = side
        self._upstream = upstream
        self._transport: asyncio.Transport | None = None
        self._far: _Far | None = None
        self._early: list[bytes] = []  # received before the server was connected
        self._open: list[Exchange] = []  # not yet answered, in order
        self._refused = False
        self._sent = _Messages(self._request, lambda: None)
        self._told = _Messages(self._status, self._answered)
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        self._side.bytes += len(data)
        self._sent.feed(data)
        if self._refused:
            return
        if self._far is None:
            self._early.append(data)
        else:
            self._far.send(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's own signature
        self._transport = None
        self._side.sockets.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._far is not None:
            self._far.close()

    def receive(self, data: bytes) -> None:
        """Forward the server's bytes."""
        self._side.bytes += len(data)
        if self._transport is not None:
            self._transport.write(data)
        self._told.feed(data)

    def cut(self) -> None:
        """The server has closed."""
        if self._transport is not None:
            self._transport.close()

    async def _connect(self) -> None:
        try:
            _, far = await asyncio.get_running_loop().create_connection(lambda: _Far(self), HOST, self._upstream)
        except OSError:
            self.cut()
            return
        if self._transport is None:
            far.close()
            return
        self._far = far
        for data in self._early:
            far.send(data)
        self._early.clear()

    def _request(self, first: str, _headers: dict[str, str]) -> bool:
        method, target, _ = first.split(" ", 2)
        exchange = Exchange(method, target.partition("?")[0], time.perf_counter())
        self._side.exchanges.append(exchange)
        if self._side.deaf and exchange.is_event:
            self._refused = True
            exchange.status, exchange.answered = 403, exchange.arrived
            assert self._transport is not None
            self._transport.write(REFUSAL)
            self._transport.close()
            return True
        self._open.append(exchange)
        return True

    def _status(self, first: str, _headers: dict[str, str]) -> bool:
        status = int(first.split(" ", 2)[1])
        exchange = self._open[0]
        exchange.status = status
        if status == 101:
            exchange.answered = time.perf_counter()
            self._side.sockets.add(self)
            self._sent.no_more()
            self._told.no_more()
            return False
        return exchange.method != "HEAD" and status not in (204, 304)

    def _answered(self) -> None:
        self._open.pop(0).answered = time.perf_counter()


class _Far(asyncio.Protocol):
    """The connection to the server for a client's connection."""

    def __init__(self, near: _Near) -> None:
        self._near = near
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._acknowledge_at_once()

    def data_received(self, data: bytes) -> None:
        self._acknowledge_at_once()
        self._near.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's own signature
        self._near.cut()

    def send(self, data: bytes) -> None:
        """Forward the client's bytes."""
        if self._transport is not None:
            self._transport.write(data)
            self._acknowledge_at_once()

    def close(self) -> None:
        """The client has closed."""
        if self._transport is not None:
            self._transport.close()

    def _acknowledge_at_once(self) -> None:
        """Acknowledge at once: else a kept-alive connection loses 40 ms for each answer in two segments."""
        option = getattr(socket, "TCP_QUICKACK", None)  # Linux only; the kernel takes it back by itself
        if option is not None and self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, 1)
