"""From a federation file to a server that can be asked: address, version, log-in, names, keys."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from v6flow import paths
from v6flow.backends.vantage6 import address, dialects, encryption, server_names
from v6flow.backends.vantage6.calls import Api
from v6flow.backends.vantage6.second_factor import PERSON
from v6flow.backends.vantage6.session import Session
from v6flow.backends.vantage6.tokens import Credentials
from v6flow.backends.vantage6.transport import Transport
from v6flow.errors import FederationError
from v6flow.references import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from v6flow.backends.vantage6.configuration import ServerFederation
    from v6flow.backends.vantage6.encryption import PrivateKey
    from v6flow.backends.vantage6.second_factor import Person
    from v6flow.backends.vantage6.server_names import ServerDirectory
    from v6flow.backends.vantage6.transport import Limits


class Connected(Struct, frozen=True):
    """A server that can be asked."""

    session: Session
    directory: ServerDirectory
    api: Api

    def close(self) -> None:
        """Close all connections."""
        self.session.transport.close()


def connect(
    federation: ServerFederation,
    *,
    limits: Limits | None = None,
    environ: Mapping[str, str] = os.environ,
    person: Person | None = PERSON,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Connected:
    """Log in and look everything up. Raises FederationError, AccessError, UnreachableError."""
    transport = transport_to(federation, limits=limits, environ=environ, clock=clock, sleep=sleep)
    try:
        transport, version = dialects.find_server(transport)
        session = Session(transport, credentials(federation, environ), person=person, clock=clock)
        found = server_names.read(session, federation)
        api = Api(session, dialects.detect(session, version), key=private_key(federation, found))
    except BaseException:
        transport.close()
        raise
    return Connected(session, found, api)


def transport_to(
    federation: ServerFederation,
    *,
    limits: Limits | None = None,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Transport:
    """A transport to the address of a federation, which is not yet asked anything. Raises FederationError."""
    return Transport(
        address.parse(federation.server, allow_http=federation.allow_http),
        ca_file=federation.ca_file,
        limits=limits,
        clock=clock,
        sleep=sleep,
        environ=environ,
    )


def credentials(federation: ServerFederation, environ: Mapping[str, str] = os.environ) -> Credentials:
    """What the federation file says to log in with, not yet looked up."""
    folder = Path(federation.file).parent

    def secret(written: str) -> Secret:
        return Secret(written, folder, environ=environ)

    return Credentials(
        secret(federation.username),
        secret(federation.password),
        secret(federation.totp_secret) if federation.totp_secret is not None else None,
    )


def private_key(federation: ServerFederation, found: ServerDirectory) -> PrivateKey | None:
    """Our private key if the collaboration is encrypted, and only if it fits the server's public key.

    Raises FederationError (KeyProblemError).
    """
    if not found.collaboration.encrypted:
        return None
    if federation.private_key is None:
        raise FederationError(
            f"the collaboration {found.collaboration.name} is encrypted, and the federation file names no private key",
            hint=f"`private_key: PATH` names that of {found.user.organization_name}",
        )
    try:
        pem = paths.read(federation.private_key, encryption.LARGEST_FILE)
    except OSError as error:
        raise FederationError(f"the private key {federation.private_key} cannot be read: {error.strerror}") from error
    key = encryption.load_private_key(pem, federation.private_key)
    encryption.check_matches(key, found.user.public_key, found.user.organization_name)
    return key
