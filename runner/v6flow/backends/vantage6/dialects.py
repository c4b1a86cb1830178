"""What the versions of vantage6 4.x can and cannot: asked of the server where it can be asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from v6flow.backends.vantage6.refusals import RefusedError, plain
from v6flow.core import json
from v6flow.errors import FederationError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.backends.vantage6.session import Session
    from v6flow.backends.vantage6.transport import Transport
    from v6flow.core.json import Json
    from v6flow.core.kinds.settings import DatabaseChoice

SPOKEN = 4
KNOWN_PATHS = ("/api", "", "/hq")  # of vantage6 up to 4, behind some proxies, of vantage6 5
LONGEST_NAME, LONGEST_DESCRIPTION = 128, 1024  # what a server accepts


class Version(Struct, frozen=True):
    """A server's version, as text and as numbers."""

    text: str
    numbers: tuple[int, ...]

    @property
    def major(self) -> int:
        """The generation."""
        return self.numbers[0]

    def at_least(self, *numbers: int) -> bool:
        """Whether it is that version or a later one."""
        return self.numbers >= numbers


class Dialect(Struct, frozen=True):
    """What a server understands. `blobs`: inputs and results are uploaded and named, not sent in the task."""

    version: Version
    blobs: bool = False

    @property
    def studies(self) -> bool:
        """Whether it has studies."""
        return self.version.at_least(4, 3)

    @property
    def stores(self) -> bool:
        """Whether a task may name an algorithm store."""
        return self.version.at_least(4, 6)

    @property
    def server_url(self) -> bool:
        """Whether a task may say by which address the store knows this server."""
        return self.version.at_least(4, 8)

    @property
    def database_arguments(self) -> bool:
        """Whether a task's databases may have arguments."""
        return self.version.at_least(4, 14)


class TaskDraft(Struct, frozen=True):
    """A task to be created; `inputs` has what each organization gets, by its id, as `Api.prepare_input` makes it."""

    token: str
    name: str
    description: str
    image: str
    collaboration: int
    inputs: Mapping[int, str]
    databases: tuple[DatabaseChoice, ...] = ()
    study: int | None = None
    store: int | None = None
    server_url: str | None = None


def find_server(transport: Transport, *, patience: float | None = None) -> tuple[Transport, Version]:
    """The server's version, with the transport to where its API is.

    An address without a path may mean any place where vantage6 is known to put its API. Raises FederationError for
    another generation, and for a server that is none; UnreachableError.
    """
    given = transport.address.path
    refused: Exception | None = None
    for path in dict.fromkeys((given, *KNOWN_PATHS)):
        try:
            found = _version(transport.at(path), patience)
        except RefusedError as error:
            refused = refused or error
            continue
        except UnreachableError as error:
            if getattr(error, "status", None) is None:
                raise
            refused = refused or error  # it answers, but not as an API does
            continue
        if found is None:
            continue
        there = transport.at(path)
        _check_generation(found, there)
        if given not in ("", path):
            raise FederationError(
                f"there is no vantage6 server at {transport.address}, but {found.text} is at {there.address}",
                hint=f"write `server: {there.address}`",
            )
        return there, found
    raise FederationError(
        f"there is no vantage6 server at {transport.address}",
        hint="the address is that of the API, most often https://…/api; the address in a browser is another",
    ) from refused


def _version(transport: Transport, patience: float | None) -> Version | None:
    value = transport.get("/version", patience=patience).value
    text = value.get("version") if isinstance(value, dict) else None
    if not isinstance(text, str):
        return None
    numbers = re.match(r"v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?", text)
    if numbers is None:
        return None
    return Version(plain(text)[:40], tuple(int(number or 0) for number in numbers.groups()))


def _check_generation(version: Version, transport: Transport) -> None:
    if version.major == SPOKEN:
        return
    hint = "vantage6 5 has another login and sessions; a later v6flow may support it"
    if version.major < SPOKEN:
        hint = "its results may be pickles, which v6flow never loads; ask for an upgrade to vantage6 4"
    raise FederationError(
        f"{transport.address} is vantage6 {version.text}; this v6flow supports vantage6 4.0 to 4.15", hint=hint
    )


def detect(session: Session, version: Version) -> Dialect:
    """What the server understands, asked of it as a user."""
    try:
        value = session.get("/blobstream/status").value
    except RefusedError as error:
        if error.status not in (404, 405, 501):
            raise
        return Dialect(version)
    return Dialect(version, blobs=isinstance(value, dict) and value.get("blob_store_enabled") is True)


def task_input(method: str, kwargs: Mapping[str, Json]) -> bytes:
    """What an algorithm gets, before it is encoded or encrypted."""
    return json.dumps({"method": method, "args": [], "kwargs": dict(kwargs)}).encode()


def task_body(dialect: Dialect, draft: TaskDraft) -> dict[str, Json]:
    """The body of the request that creates a task. Raises FederationError for what this server cannot do."""
    body: dict[str, Json] = {
        "name": _name(draft.name),
        "description": described(draft.token, draft.description),
        "image": draft.image,
        "collaboration_id": draft.collaboration,
        "organizations": [{"id": number, "input": text} for number, text in draft.inputs.items()],
        "databases": [database(dialect, each) for each in draft.databases],
    }
    options: Iterable[tuple[str, Any, bool, str]] = (
        ("study_id", draft.study, dialect.studies, "studies (they came with 4.3)"),
        ("store_id", draft.store, dialect.stores, "algorithm stores in tasks (they came with 4.6)"),
        ("server_url", draft.server_url, dialect.server_url, "its own address in tasks (it came with 4.8)"),
    )
    for key, value, known, what in options:
        if value is not None:
            _check(dialect, what, known=known)
            body[key] = value
    return body


def described(token: str, description: str) -> str:
    """A task's description: the token first, so that whatever is cut the task can be found by it."""
    return f"{token} {description}".strip()[:LONGEST_DESCRIPTION]


def token_of(description: str) -> str:
    """The token in a task's description; any text at all where v6flow did not make it."""
    return description.split(" ", 1)[0]


def _name(name: str) -> str:
    cut = name[:LONGEST_NAME].strip()
    # a server takes no name that is empty or could be an id
    return f"step {cut}"[:LONGEST_NAME].strip() if not cut or cut.isnumeric() else cut


def database(dialect: Dialect, choice: DatabaseChoice) -> dict[str, Json]:
    """A database of a task as its body names it. Raises FederationError for what this server cannot do."""
    raw: dict[str, Json] = {"label": choice.label}
    if choice.query is not None:
        raw["query"] = choice.query
    if choice.sheet_name is not None:
        raw["sheet_name"] = choice.sheet_name
    if choice.preprocessing:
        raw["preprocessing"] = [dict(each) for each in choice.preprocessing]
    if choice.arguments:
        _check(dialect, "arguments of databases (they came with 4.14)", known=dialect.database_arguments)
        raw["arguments"] = dict(choice.arguments)
    return raw


def _check(dialect: Dialect, what: str, *, known: bool) -> None:
    if not known:
        raise FederationError(f"this server is vantage6 {dialect.version.text}, which does not know {what}")
