"""Puts the public key of an organization at its server, and never another key in its place unasked."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from v6flow import paths
from v6flow.backends.base import UploadedKey
from v6flow.backends.vantage6 import address, connecting, dialects, encryption, server_names
from v6flow.backends.vantage6.encryption import KeyProblemError
from v6flow.backends.vantage6.refusals import AmbiguousError
from v6flow.backends.vantage6.second_factor import PERSON
from v6flow.backends.vantage6.session import Session
from v6flow.backends.vantage6.transport import Transport
from v6flow.errors import FederationError, PersonNeededError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.backends.vantage6.configuration import ServerFederation
    from v6flow.backends.vantage6.encryption import PrivateKey

MEANING = (
    "nodes of {whose} and colleagues that have only the old private key can no longer read what is encrypted for it",
    "what was encrypted until now can be read with the old private key only",
    "a node of it, or vantage6's own client, that starts with the old private key puts the old public key back",
)
"""What replacing the public key of an organization means, in sentences."""
_DONE: dict[str, Literal["added", "kept", "replaced"]] = {"same": "kept", "none": "added", "different": "replaced"}


class Comparison(Struct, frozen=True):
    """Our public key and the one that the server has of our organization, as fingerprints.

    `theirs` is None if the server has none, and also where what it has is no public key.
    """

    organization: int
    whose: str
    ours: str
    theirs: str | None
    status: Literal["same", "none", "different"]

    @property
    def old(self) -> str:
        """What the server has, in plain words."""
        return "no public key" if self.status == "none" else self.theirs or "something that is no public key"


def upload(federation: ServerFederation, *, replace: bool, announce: Callable[[list[str]], None]) -> UploadedKey:
    """Put the public key that belongs to the private key of a federation file at its server, unless it is there.

    Before another key is replaced, `announce` gets lines that say what that means.
    Raises FederationError, AccessError, UnreachableError, PersonNeededError.
    """
    key = read_private_key(federation)
    with logged_in(federation) as session:
        found = compare(session, key)
        check_replacement(found, replace=replace)
        if found.status == "different":
            announce(
                [
                    f"replacing the public key of {found.whose} at {session.transport.address}:",
                    f"  old {found.old}",
                    f"  new {found.ours}",
                    *(sentence.format(whose=found.whose) for sentence in MEANING),
                ]
            )
        if found.status != "same":
            put(session, key, found)
    return UploadedKey(_DONE[found.status], found.whose, found.theirs, found.ours)


def read_private_key(federation: ServerFederation) -> PrivateKey:
    """The private key that a federation file names. Raises FederationError."""
    if federation.private_key is None:
        raise FederationError(
            f"{federation.file} names no private key",
            hint="`private_key: PATH` does; `v6flow keygen PATH` makes one",
        )
    try:
        pem = paths.read(federation.private_key, encryption.LARGEST_FILE)
    except OSError as error:
        raise FederationError(
            f"the private key {federation.private_key} cannot be read: {error.strerror}",
            hint="`v6flow keygen PATH` makes one" if isinstance(error, FileNotFoundError) else None,
        ) from error
    return encryption.load_private_key(pem, federation.private_key)


@contextmanager
def logged_in(federation: ServerFederation, environ: Mapping[str, str] = os.environ) -> Iterator[Session]:
    """A session with a federation's server, whether keys fit or not.

    Raises FederationError, AccessError, UnreachableError.
    """
    where = address.parse(federation.server, allow_http=federation.allow_http)
    transport = Transport(where, ca_file=federation.ca_file, environ=environ)
    try:
        there, _ = dialects.find_server(transport)
        yield Session(there, connecting.credentials(federation, environ), person=PERSON)
    finally:
        transport.close()


def compare(session: Session, key: PrivateKey) -> Comparison:
    """Look which public key the server has of our organization. Raises AccessError, UnreachableError."""
    user = server_names.read_user(session)
    ours, theirs = encryption.fingerprint(key.public_text), encryption.fingerprint(user.public_key)
    assert ours is not None, "our own public key is one"
    status: Literal["same", "none", "different"] = "none"
    if user.public_key:
        status = "same" if theirs == ours else "different"
    return Comparison(user.organization, user.organization_name, ours, theirs, status)


def check_replacement(found: Comparison, *, replace: bool) -> None:
    """That no key that is there is replaced unasked. Raises KeyProblemError, which says what it would mean."""
    if found.status == "different" and not replace:
        raise KeyProblemError(
            f"the server has another public key of {found.whose} than that of our private key: "
            f"{found.old}, ours is {found.ours}",
            hint="use the private key that belongs to the one at the server; --replace puts ours there, and then "
            + "; ".join(MEANING).format(whose=found.whose),
        )


def put(session: Session, key: PrivateKey, found: Comparison) -> None:
    """Put our public key at the server, and read it back.

    It is sent again only while it has certainly not arrived. Raises AccessError if this user may not; UnreachableError
    if it came to no answer and is not there; PersonNeededError if the server took it and has another.
    """
    lost: AmbiguousError | None = None
    try:
        session.patch(f"/organization/{found.organization}", {"public_key": key.public_text}, again="unsent")
    except AmbiguousError as error:
        lost = error
    now = compare(session, key)
    if now.status == "same":
        return
    if lost is not None and now.theirs == found.theirs:
        raise UnreachableError(
            f"the server did not answer, and has {now.old} of {found.whose} as before: {lost.message}",
            hint="repeat the command: it checks first whether the key arrived after all",
        ) from lost
    raise PersonNeededError(
        f"the public key of {found.whose} was sent, but the server has {now.old} now, not {now.ours}",
        hint="does somebody else, or a node that has just started, upload another key?",
    )
