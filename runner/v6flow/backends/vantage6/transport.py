"""HTTP to one server: few connections, deadlines that hold, no redirects, errors that say what became of a request.

Only reads are tried again by themselves. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`, …), but none for
this machine; certificate authorities from `ca_file`, else `REQUESTS_CA_BUNDLE`, else those that come with requests.
`.netrc` is not read, and cookies are neither kept nor sent.
"""

from __future__ import annotations

import copy
import json as plain_json
import os
import random as _random
import time
import zlib
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

import requests
from msgspec import Struct
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from v6flow import paths
from v6flow.backends.vantage6 import refusals
from v6flow.backends.vantage6.refusals import AmbiguousError, NotSentError, TooLargeError, UntrustedError
from v6flow.backends.vantage6.wire import PromptAdapter, RequestAttempt, under_way
from v6flow.core import json
from v6flow.errors import FederationError
from v6flow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import BinaryIO

    from v6flow.backends.vantage6.address import ServerAddress
    from v6flow.core.json import Json

CONNECTIONS = 4  # a server of 4.15 does 54 requests a second at most, and that with four
PIECE = 64 * 1024

Sieve: TypeAlias = "Callable[[bytes], bytes]"

Again: TypeAlias = Literal["never", "unsent", "always"]
"""When a request is sent again by itself: never; if it has certainly not arrived; whenever there was no answer."""


class Limits(Struct, frozen=True):
    """How long a request may take (seconds) and how large its answer may be (bytes, decoded)."""

    connect: float = 10.0
    silence: float = 60.0  # the longest time without a byte
    total: float = 300.0
    body: int = 64 * 1024 * 1024
    patience: float = 60.0  # how long a read is tried again
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 120.0  # of what a server asks for


class Response(Struct, frozen=True):
    """A server's success: `value` is its JSON, None for what went to a file; names of headers are in lower case."""

    status: int
    value: Json
    headers: Mapping[str, str]


class _Request(Struct, frozen=True):
    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    token: str | None = None
    hidden: tuple[str, ...] = ()  # secrets in the body
    headers: tuple[tuple[str, str], ...] = ()
    sieve: Callable[[], Sieve] | None = None
    sink: BinaryIO | None = None
    limit: int = 0
    total: float = 0.0

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, even if the server repeats it."""
        return self.hidden if self.token is None else (*self.hidden, self.token)


class Transport:
    """Talks to the server at an address. Any number of threads may use it; CONNECTIONS requests are made at once."""

    def __init__(
        self,
        address: ServerAddress,
        *,
        ca_file: str | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = _random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.address = address
        self.limits = limits or Limits()
        self._clock, self._sleep, self._random = clock, sleep, random
        self._adapter = PromptAdapter(CONNECTIONS)
        self._free = BoundedSemaphore(CONNECTIONS)
        self._verify: bool | str = True
        authorities = ca_file or environ.get("REQUESTS_CA_BUNDLE")
        if authorities:
            if not paths.readable(authorities):
                raise FederationError(f"there is no certificate authority's file {authorities}")
            self._verify = authorities
        self._proxies = _environ_proxies(address)

    def at(self, path: str) -> Transport:
        """The same server and connections with another path to its API."""
        other = copy.copy(self)
        other.address = self.address.at(path)
        return other

    def to(self, address: ServerAddress, limits: Limits) -> Transport:
        """Another server with the same certificate authorities; its connections are ours, and close with them."""
        other = copy.copy(self)
        other.address, other.limits = address, limits
        other._proxies = _environ_proxies(address)  # noqa: SLF001  another of this class
        return other

    @property
    def verify(self) -> bool | str:
        """How the server's certificate is verified, in the terms of requests."""
        return self._verify

    @property
    def proxies(self) -> Mapping[str, str]:
        """The proxies on the way, by scheme."""
        return self._proxies

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def get(
        self,
        path: str,
        params: Iterable[tuple[str, str | int]] = (),
        *,
        token: str | None = None,
        patience: float | None = None,
        sieve: Callable[[], Sieve] | None = None,
        limit: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """Read, again and again for `patience` seconds if there is no answer.

        `sieve` makes, for each try, what is given all pieces of the body in turn and returns what of them is JSON
        to be parsed; `limit` is for the whole body.
        Raises RefusedError, DeniedError, StaleTokenError, TooLargeError, and UnreachableError when patience ends.
        """
        request = _Request(
            "GET",
            path,
            tuple((key, str(value)) for key, value in params),
            token=token,
            sieve=sieve,
            limit=limit or self.limits.body,
            total=self.limits.total,
            headers=tuple(headers),
        )
        return self._repeat(request, "always", patience)

    def download(
        self,
        path: str,
        sink: BinaryIO,
        *,
        limit: int,
        token: str | None = None,
        total: float | None = None,
        patience: float | None = None,
    ) -> Response:
        """Read a body of bytes into a file from its present position; tried again, it begins there again."""
        request = _Request("GET", path, token=token, sink=sink, limit=limit, total=total or self.limits.total)
        return self._repeat(request, "always", patience)

    def post(
        self,
        path: str,
        body: Json | bytes,
        *,
        again: Again = "never",
        token: str | None = None,
        hidden: tuple[str, ...] = (),
        patience: float | None = None,
    ) -> Response:
        """Send JSON, or bytes as they are.

        Raises what `get` raises, and with `again` "never" NotSentError and AmbiguousError as they are.
        """
        return self._repeat(self._sending("POST", path, body, token, hidden), again, patience)

    def patch(
        self, path: str, body: Json, *, again: Again = "never", token: str | None = None, patience: float | None = None
    ) -> Response:
        """Change a part of what is there (see `post`)."""
        return self._repeat(self._sending("PATCH", path, body, token), again, patience)

    def _sending(
        self, method: str, path: str, body: Json | bytes, token: str | None, hidden: tuple[str, ...] = ()
    ) -> _Request:
        raw = isinstance(body, bytes)
        return _Request(
            method,
            path,
            body=body if isinstance(body, bytes) else plain_json.dumps(body, allow_nan=True).encode(),
            content_type="application/octet-stream" if raw else "application/json",
            token=token,
            hidden=hidden,
            limit=self.limits.body,
            total=self.limits.total,
        )

    def _repeat(self, request: _Request, again: Again, patience: float | None) -> Response:
        until = self._clock() + (self.limits.patience if patience is None else patience)
        start = request.sink.tell() if request.sink is not None else 0
        tries = 0
        while True:
            try:
                return self._once(request)
            except (NotSentError, AmbiguousError) as error:
                lost = again == "unsent" and isinstance(error, AmbiguousError)
                if again == "never" or lost or isinstance(error, UntrustedError):
                    raise
                wait = self._wait(tries, error.retry_after)
                if self._clock() + wait > until:
                    raise
                self._sleep(wait)
            if request.sink is not None:
                request.sink.seek(start)
                request.sink.truncate()
            tries += 1

    def _wait(self, tries: int, retry_after: float | None) -> float:
        longest = min(self.limits.first_wait * 2.0 ** min(tries, 30), self.limits.longest_wait)
        wait = longest * (0.5 + 0.5 * self._random())  # so that many clients do not come back all at once
        if retry_after is not None:
            wait = max(wait, min(retry_after, self.limits.longest_retry_after))
        return wait

    def _once(self, request: _Request) -> Response:
        what = f"{request.method} {request.path}"
        server = str(self.address)
        attempt = RequestAttempt(self._clock() + request.total, self.limits.silence, self._clock)
        if not self._free.acquire(timeout=request.total):
            raise NotSentError(f"{what} did not find a free connection to {server}")
        try:
            with under_way(attempt):
                return self._exchange(request, what)
        except (requests.RequestException, HTTPError, HTTPException, OSError, zlib.error) as error:
            if isinstance(error, requests.RequestException):
                error.request = error.response = None  # they hold the password or the token
            found = refusals.of_failure(error, what=what, server=server, sent=attempt.sent)
            raise found from error
        finally:
            self._free.release()

    def _exchange(self, request: _Request, what: str) -> Response:
        response = self._adapter.send(
            self._prepared(request),
            stream=True,
            timeout=(self.limits.connect, self.limits.silence),
            verify=self._verify,
            proxies=self._proxies,
        )
        whole = False
        try:
            headers = {key.lower(): value for key, value in response.headers.items()}
            limit = request.limit
            success = 200 <= response.status_code < 300
            if not success:
                limit = PIECE * 16  # of an error's words
            pieces = _decoded(response, headers, limit)
            if success and request.sink is not None:
                for piece in pieces:
                    request.sink.write(piece)
                whole = True
                return Response(response.status_code, None, headers)
            sieve = request.sieve() if success and request.sieve else bytes
            body = b"".join(sieve(piece) for piece in pieces)
            whole = True
        finally:
            if not whole:
                response.raw.close()  # what was not read would be taken for the next answer
            response.raw.release_conn()
        return self._judge(response.status_code, body, headers, request, what)

    def _judge(self, status: int, body: bytes, headers: Mapping[str, str], request: _Request, what: str) -> Response:
        success = 200 <= status < 300
        value: Json = None
        try:
            value = json.loads(body)
        except json.JsonError:
            if success:
                page = body.lstrip()[:1] == b"<"
                raise AmbiguousError(
                    f"what {self.address} answers to {what} is {'a web page' if page else 'no sound JSON'}",
                    hint="is the path of the server's address right? Most end with /api" if page else None,
                    status=status,
                ) from None  # whose text quotes the answer
        if not success:
            raise refusals.of_status(
                status,
                value,
                what=what,
                retry_after=_retry_after(headers),
                location=_place(headers.get("location")),
                secrets=request.secrets(),
            )
        return Response(status, value, headers)

    def _prepared(self, request: _Request) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json" if request.sink is None else "application/octet-stream, application/json",
            "Accept-Encoding": "gzip",
            "Connection": "keep-alive",
            "User-Agent": f"v6flow/{__version__}",
            **dict(request.headers),
        }
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if request.token is not None:
            headers["Authorization"] = f"Bearer {request.token}"
        return requests.Request(
            request.method,
            f"{self.address}{request.path}",
            params=list(request.params),
            data=request.body,
            headers=headers,
        ).prepare()


def _environ_proxies(address: ServerAddress) -> dict[str, str]:
    # requests reads the process's environment itself; not for this machine, whatever is there
    return {} if address.is_here else get_environ_proxies(address.origin, no_proxy=None)


def _decoded(response: requests.Response, headers: Mapping[str, str], limit: int) -> Iterator[bytes]:
    """The body in pieces, unpacked, none of which was in memory before it was counted."""
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise AmbiguousError("the answer is packed in a way that was not asked for")
    unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    total = 0
    for raw in response.raw.stream(PIECE, decode_content=False):
        waiting: bytes = raw
        while waiting:
            piece = waiting
            waiting = b""
            if unpack is not None:
                piece = unpack.decompress(piece, PIECE)
                waiting = unpack.unconsumed_tail
            total += len(piece)
            if total > limit:
                raise TooLargeError(f"the answer is larger than the {limit} bytes that are accepted")
            if piece:
                yield piece
    if unpack is not None and not unpack.eof and total:
        raise AmbiguousError("the response was cut off")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds the server asks us to wait; a date counts from the server's own."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max((parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None


def _place(location: str | None) -> str | None:
    """Where a redirect leads, without what may be secret in it."""
    if not location:
        return None
    try:
        parts = urlsplit(location)
        host = parts.hostname
    except ValueError:
        return None
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path
