"""What can become of a request, each as one kind of error."""

from __future__ import annotations

import re
import socket
import ssl
from http.client import IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any

from v6flow.backends.vantage6.masking import hide
from v6flow.backends.vantage6.wire import TotalDeadlineError
from v6flow.core.patterns import pattern
from v6flow.errors import AccessError, UnreachableError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from v6flow.core.json import Json

LONGEST_MESSAGE = 500  # characters of what a server says


class NotSentError(UnreachableError):
    """The request has certainly not arrived; `retry_after` is how many seconds the server asks us to wait."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UntrustedError(NotSentError):
    """The server could not prove who it is; nothing was sent, and trying again is of no use."""


class AmbiguousError(UnreachableError):
    """The request may have arrived and been carried out; nobody knows without asking."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.status = status


class TooLargeError(V6flowError):
    """An answer is larger than it may be."""

    kind = "too_large"


class RefusedError(V6flowError):
    """The server refuses the request: `said` are its words, None where it was not the API that answered."""

    kind = "refused"

    def __init__(self, message: str, status: int, said: str | None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = said


class DeniedError(AccessError):
    """This user may not do that (exit 4)."""

    def __init__(self, message: str, *, said: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.said = said


class StaleTokenError(AccessError):
    """The token is not, or no longer, accepted; the request was not carried out."""


# flask-jwt-extended's words for a token it does not take; all come before anything is done
_STALE = pattern(
    r"token has expired|token has been revoked|missing authorization header|error loading the user|jwt|segments"
    r"|signature verification|only non-refresh tokens|token is not yet valid|invalid (crypto|header|payload|token)",
    re.IGNORECASE,
)


def of_status(
    status: int,
    value: Json,
    *,
    what: str,
    retry_after: float | None,
    location: str | None,
    secrets: Iterable[str] = (),
) -> V6flowError:
    """The error of an answer that is not a success; `what` names the request, `value` is its body if that was JSON.

    `secrets` are not shown, should the server repeat them.
    """
    said = _said(value)
    if said is not None:
        said = plain(hide(said, secrets))
    if location is not None:
        location = plain(hide(location, secrets))
    words = f": {said}" if said else ""
    if status == 401:
        return _unauthorized(said, what)
    if status == 422 and _STALE.search(said or "token"):
        return StaleTokenError(f"the server does not accept our token for {what}{words}")
    if status == 429:
        return NotSentError(f"the server turns {what} away (429, too many requests){words}", retry_after=retry_after)
    if 300 <= status < 400:
        there = f" to {location}" if location else ""
        return RefusedError(
            f"the server sends {what} elsewhere{there} ({status}); v6flow does not follow",
            status,
            None,
            hint="write the server's final address in the federation file",
        )
    if status in (408, 425) or (status >= 500 and status != 501):
        return AmbiguousError(f"the server answers {what} with {status}{words}", retry_after=retry_after, status=status)
    hint = None
    if status == 404 and said is None:
        hint = "is the path of the server's address right? Most end with /api"
    if status == 413:
        hint = "the request is larger than the server, or a proxy in front of it, accepts"
    return RefusedError(f"the server refuses {what} ({status}){words}", status, said, hint=hint)


def _unauthorized(said: str | None, what: str) -> V6flowError:
    if said is None:
        return DeniedError(
            f"something in front of the vantage6 server refuses {what} (401)",
            hint="does a proxy have a login of its own?",
        )
    if _STALE.search(said):
        return StaleTokenError(f"the server does not accept our token for {what}: {said}")
    return DeniedError(
        f"the server does not allow {what}: {said}",
        said=said,
        hint="the administrator of the server gives rights to users",
    )


def _said(value: Json) -> str | None:
    """The words of the API, None if it is not the API that speaks."""
    if not isinstance(value, dict):
        return None
    said = value.get("msg", value.get("message"))
    if not isinstance(said, str):
        return None
    errors = value.get("errors")
    if isinstance(errors, dict):
        said += "".join(f"; {field}: {_flat(problem)}" for field, problem in errors.items())
    return said


def _flat(problem: Any) -> str:
    if isinstance(problem, list):
        return " ".join(_flat(each) for each in problem)
    if isinstance(problem, dict):
        return " ".join(f"{key}: {_flat(each)}" for key, each in problem.items())
    return str(problem)


def plain(text: str) -> str:
    """A text from elsewhere on one line, without what steers terminals, and not without end."""
    text = "".join(character if character.isprintable() else " " for character in text[: 4 * LONGEST_MESSAGE])
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"


def of_failure(error: BaseException, *, what: str, server: str, sent: bool) -> V6flowError:
    """The error of a request that came to no answer; `sent` says whether any of it left."""
    causes = tuple(_causes(error))
    if not sent:
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return UntrustedError(
                    f"the certificate of {server} is not trusted: {cause.verify_message}",
                    hint="`ca_file` names the certificate authority that your server uses",
                )
        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                return UntrustedError(f"{server} does not speak TLS as it should", hint="is it http:// on that port?")
        return NotSentError(f"{server} cannot be reached: {_reason(causes)}")
    return AmbiguousError(f"{what} at {server} got no response: {_reason(causes)}")


def _causes(error: BaseException) -> list[BaseException]:
    """An error and all that it came from, however they are wrapped."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 50:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and not any(one is each for each in found):
            found.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return found


def _reason(causes: tuple[BaseException, ...]) -> str:
    """Why, in plain words and without the texts of libraries, which may quote what was sent."""
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (TotalDeadlineError, "it took too long in all"),
        (socket.gaierror, "there is no host of that name"),
        (ConnectionRefusedError, "nothing listens there"),
        (RemoteDisconnected, "the connection was closed before an answer"),
        (IncompleteRead, "the response was cut off"),
        (ConnectionResetError, "the connection was reset"),
        (BrokenPipeError, "the connection was closed"),
        (TimeoutError, "it did not respond in time"),
    )
    for kind, words in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    names = {type(cause).__name__ for cause in causes}
    if names & {"ConnectTimeoutError", "ReadTimeoutError", "ConnectTimeout", "ReadTimeout"}:
        return "it did not respond in time"
    if "ProxyError" in names:
        return "the proxy refuses the connection"
    return f"the connection failed ({type(causes[0]).__name__})"
