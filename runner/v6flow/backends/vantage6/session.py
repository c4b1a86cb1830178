"""Who we are at a server: log-in, tokens that are renewed once for all threads, and requests that carry them."""

from __future__ import annotations

import base64
import binascii
import time
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

from v6flow.backends.vantage6 import totp
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError, RefusedError, StaleTokenError
from v6flow.backends.vantage6.tokens import Tokens
from v6flow.core import json
from v6flow.errors import AccessError, UnreachableError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from v6flow.backends.vantage6.second_factor import Person
    from v6flow.backends.vantage6.tokens import Credentials
    from v6flow.backends.vantage6.transport import Again, Response, Sieve, Transport
    from v6flow.core.json import Json

EARLY = 60.0  # seconds before its end that a token is renewed, or a fifth of its life if that is less
UNKNOWN_LIFE = 600.0  # seconds, of a token that does not say
NEEDS_CODE = (
    "type the code at a terminal, or set V6FLOW_MFA_CODE to it; "
    "`totp_secret: ${keyring:v6flow/totp}` in the federation file lets v6flow compute it"
)
IF_COMPUTED = "is `totp_secret` the secret of this user, and this machine's clock right?"
LONGEST_LIFE = 10 * 365 * 86400.0  # seconds


class Session:
    """Requests to a server as a user. Any number of threads may use it at once.

    A log-in that was refused is never tried again, by no thread: servers lock people out. Only a one-time code that a
    person types may be wrong a few times. `person` is None where there is nobody. `clock` counts seconds and does not
    jump; `now` is UTC, for one-time codes only.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        person: Person | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.transport = transport
        self.attended = True
        """Whether the person may be asked for a code: not while a run continues."""
        self.heard: Callable[[V6flowError | None], None] | None = None
        """Told of each request, None if it was answered, else the error that it came to."""
        self._credentials = credentials
        self._person = person
        self._clock, self._now = clock, now
        self._lock = Lock()
        self._tokens: Tokens | None = None
        self._refused: AccessError | None = None

    def access_token(self) -> str:
        """A token that is valid now, logging in or renewing it if need be. Raises AccessError, UnreachableError."""
        return self._current().access

    def user_id(self) -> int:
        """The id of the user who is logged in. Raises AccessError, UnreachableError."""
        user = self._current().user
        if user is None:
            raise AccessError("the server's token does not say who we are")
        return user

    @property
    def username(self) -> str:
        """The user name that we log in with. Raises FederationError."""
        return self._credentials.username.reveal()

    def get(
        self,
        path: str,
        params: Iterable[tuple[str, str | int]] = (),
        *,
        patience: float | None = None,
        sieve: Callable[[], Sieve] | None = None,
        limit: int | None = None,
    ) -> Response:
        """Read as this user (see Transport.get)."""
        asked = tuple(params)
        return self._as_user(
            lambda token: self.transport.get(path, asked, token=token, patience=patience, sieve=sieve, limit=limit)
        )

    def download(
        self,
        path: str,
        sink: BinaryIO,
        *,
        limit: int,
        total: float | None = None,
        patience: float | None = None,
    ) -> Response:
        """Read bytes into a file as this user (see Transport.download)."""
        return self._as_user(
            lambda token: self.transport.download(path, sink, limit=limit, token=token, total=total, patience=patience)
        )

    def post(self, path: str, body: Json | bytes, *, again: Again = "never", patience: float | None = None) -> Response:
        """Send as this user (see Transport.post). What a stale token had refused was not done: it is sent again."""
        return self._as_user(lambda token: self.transport.post(path, body, again=again, token=token, patience=patience))

    def patch(self, path: str, body: Json, *, again: Again = "never", patience: float | None = None) -> Response:
        """Change a part of what is there, as this user (see Session.post)."""
        return self._as_user(
            lambda token: self.transport.patch(path, body, again=again, token=token, patience=patience)
        )

    def _as_user(self, send: Callable[[str], Response]) -> Response:
        try:
            answer = self._sent_as_user(send)
        except V6flowError as error:
            if self.heard is not None:
                self.heard(error)
            raise
        if self.heard is not None:
            self.heard(None)
        return answer

    def _sent_as_user(self, send: Callable[[str], Response]) -> Response:
        tokens = self._current()
        try:
            return send(tokens.access)
        except StaleTokenError:
            return send(self._renewed(tokens.generation).access)

    def _current(self) -> Tokens:
        tokens = self._tokens
        if tokens is None:
            return self._renewed(0)
        if self._clock() >= tokens.until:
            return self._renewed(tokens.generation)
        return tokens

    def _renewed(self, stale: int) -> Tokens:
        """Tokens younger than those of the generation `stale`, which one thread gets for all."""
        with self._lock:
            tokens = self._tokens
            if tokens is not None and tokens.generation > stale:
                return tokens
            if self._refused is not None:
                raise AccessError(self._refused.message, hint=self._refused.hint)
            newer = (self._refresh(tokens) if tokens else None) or self._log_in(stale + 1)
            if tokens is not None and tokens.user is not None and newer.user != tokens.user:
                raise StrangeError(f"the server renewed the token of user {tokens.user} with one of user {newer.user}")
            self._tokens = newer
            return newer

    def _refresh(self, tokens: Tokens) -> Tokens | None:
        """New tokens, None if the server does not take our refresh token any more."""
        if tokens.refresh is None:
            return None
        try:
            answer = self.transport.post("/token/refresh", {}, again="always", token=tokens.refresh)
        except (StaleTokenError, DeniedError, RefusedError):
            return None
        if not isinstance(answer.value, dict) or not answer.value.get("access_token"):
            return None
        return self._read(answer.value, tokens.generation + 1, tokens.refresh)

    def _log_in(self, generation: int) -> Tokens:
        try:
            return self._try_log_in(generation)
        except AccessError as error:
            self._refused = error
            raise

    def _try_log_in(self, generation: int) -> Tokens:
        person, secret = self._person, self._credentials.totp
        if secret is not None:
            code = totp.code(secret.reveal(), self._now())
            return self._taken(self._send_log_in(code, IF_COMPUTED), generation)
        if person is None:
            return self._taken(self._send_log_in(None, IF_COMPUTED), generation)
        who = (str(self.transport.address), self.username, self._credentials.password.reveal())
        known = person.logged_in.pop(who, None)
        if known is not None and self._tokens is None:
            return self._by_code(who, replace(known, generation=generation))
        given = person.given() if self._tokens is None else None
        hint = f"a code is valid for about {totp.PERIOD} seconds: set V6FLOW_MFA_CODE to a new one"
        value = self._send_log_in(given, hint)
        if not _is_code_wanted(value):
            found = self._taken(value, generation)
            return found if given is None else self._by_code(who, found, given)
        if not (self.attended and person.is_there):
            raise self._not_a_log_in(value)
        for typed in person.ask(self.username, str(self.transport.address)):
            try:
                value = self._send_log_in(typed, "")
            except _WrongCodeError:
                continue
            return self._by_code(who, self._taken(value, generation), typed)
        raise AccessError("login failed: no two-factor code was given that the server accepts", hint=NEEDS_CODE)

    def _by_code(self, who: tuple[str, str, str], tokens: Tokens, code: str | None = None) -> Tokens:
        """Tokens that a code gave, which others of this process may use as well."""
        assert self._person is not None
        if code is not None:
            self._person.accepted(code)
        self._person.logged_in[who] = tokens
        return tokens

    def _send_log_in(self, code: str | None, hint: str) -> dict[str, Json]:
        """What the server answers to a log-in, with or without a token; `hint` is for a code that is wrong."""
        password = self._credentials.password.reveal()
        body: dict[str, Json] = {"username": self.username, "password": password}
        hidden = [password]
        if self._credentials.totp is not None:
            hidden.append(self._credentials.totp.reveal())
        if code is not None:
            body["mfa_code"] = code
            hidden.append(code)
        try:
            answer = self.transport.post("/token/user", body, again="unsent", hidden=tuple(hidden))
        except DeniedError as error:
            raise self._failed(error, hint) from error
        except StaleTokenError as error:
            raise AccessError(f"the server does not accept the login: {error.message}") from error
        except RefusedError as error:
            if error.status == 404:
                raise
            raise AccessError(f"the server does not accept the login: {error.message}", hint=error.hint) from error
        if not isinstance(answer.value, dict):
            raise UnreachableError("the server's response to the login is not one of vantage6")
        return answer.value

    def _taken(self, value: dict[str, Json], generation: int) -> Tokens:
        """The tokens of a log-in. Raises AccessError if there are none."""
        if not value.get("access_token"):
            raise self._not_a_log_in(value)
        return self._read(value, generation, None)

    def _failed(self, error: DeniedError, hint: str) -> AccessError:
        said = (error.said or "").lower()
        if "two-factor" in said:
            return _WrongCodeError("login failed: the server does not accept the two-factor code", hint=hint)
        if error.said is None:
            return AccessError(error.message, hint=error.hint)
        return AccessError(
            "login failed: the user name or the password is wrong, or the account is locked for a while",
            hint="no other attempt is made; a server locks an account after some failures, usually for 15 minutes",
        )

    def _not_a_log_in(self, value: dict[str, Json]) -> AccessError:
        """Why an answer that calls itself a success holds no token; a secret that it holds is kept first."""
        if "otp_secret" in value or "qr_uri" in value:
            return self._set_up(value)
        if not _is_code_wanted(value):
            return AccessError("the server accepted the login, but returned no token")
        if self._tokens is not None:
            return AccessError(
                "the login has ended, and the server wants a two-factor code for a new one",
                hint=f"resume the run; {NEEDS_CODE}",
            )
        return AccessError("the server wants a two-factor code", hint=NEEDS_CODE)

    def _set_up(self, value: dict[str, Json]) -> AccessError:
        """What to do about two-factor login that the server has set up just now, with the secret in its answer."""
        secret, uri = value.get("otp_secret"), value.get("qr_uri")
        if not isinstance(secret, str) and isinstance(uri, str):
            secret = next(iter(parse_qs(urlsplit(uri).query).get("secret", [])), None)
        if not isinstance(secret, str) or self._person is None:
            return AccessError(
                "this user has never logged in, and the server wants two-factor login to be set up first",
                hint="log in once at the server's own pages and give the secret shown there as `totp_secret` "
                "(an administrator may have to reset two-factor login before)",
            )
        where = str(self.transport.address)
        return self._person.keep(secret, uri if isinstance(uri, str) else None, self.username, where)

    def _read(self, value: dict[str, Json], generation: int, refresh: str | None) -> Tokens:
        access = value.get("access_token")
        if not isinstance(access, str):
            raise AmbiguousError("what the server gives as a token is none")
        newer = value.get("refresh_token")
        claims = _claims(access)
        began, ends, user = claims.get("iat"), claims.get("exp"), claims.get("sub")
        life = _life(began, ends, self._now())
        return Tokens(
            access,
            newer if isinstance(newer, str) else refresh,
            _user(user),
            self._clock() + life - min(EARLY, life / 5),
            generation,
        )


class _WrongCodeError(AccessError):
    """The password was right, and the one-time code was not."""


def _is_code_wanted(value: dict[str, Json]) -> bool:
    tokens_or_secret = {"access_token", "otp_secret", "qr_uri"} & value.keys()
    return not tokens_or_secret and "two-factor" in str(value.get("msg", "")).lower()


def _life(began: Json, ends: Json, now: float) -> float:
    """How many seconds a token lives, by its own times: our clock, `now`, may be wrong and counts only without them.

    Times that no token has (an end before its beginning, or after centuries) say nothing.
    """
    try:
        life = _seconds(ends) - (_seconds(began) if isinstance(began, (int, float)) else now)
    except (OverflowError, TypeError):
        return UNKNOWN_LIFE
    return life if 0 < life <= LONGEST_LIFE else UNKNOWN_LIFE


def _seconds(time: Json) -> float:
    """A time of a token, in seconds since 1970. Raises TypeError for what is no number, OverflowError."""
    if isinstance(time, bool) or not isinstance(time, (int, float)):
        raise TypeError("not a number")
    return float(time)


def _user(subject: Json) -> int | None:
    if isinstance(subject, str) and subject.isascii() and subject.isdigit():
        return int(subject[:18])
    return subject if isinstance(subject, int) and not isinstance(subject, bool) else None


def _claims(token: str) -> dict[str, Json]:
    """What a token says of itself; it is the server's business to verify it."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (json.JsonError, binascii.Error, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
