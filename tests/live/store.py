"""A real algorithm store on loopback, linked to the collaboration of the live server that is not encrypted."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from program import LiveError, Program, reserved_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation import LiveFederation

NAME = "hospital algorithms"
PROBE = "probe"
HOSPITAL_STATS = "registry.example/hospital-stats:1.0"
DIGESTS = {image: f"sha256:{hashlib.sha256(image.encode()).hexdigest()}" for image in (PROBE, HOSPITAL_STATS)}
"""What the store believes to be the images' digests."""


def pinned(image: str) -> str:
    """An image as the server names it in a task that was created by way of the store."""
    return f"{image}@{DIGESTS[image]}"


def _argument(name: str, type_: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def _function(
    name: str, *arguments: Mapping[str, Any], type_: str = "federated", databases: Sequence[str] = ("patients",)
) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_,
        "arguments": list(arguments),
        "databases": [{"name": each} for each in databases],
    }


_COLUMN = _argument("column", "column")
_ORGANIZATIONS = _argument("organizations", "organization_list", has_default_value=True, default_value=None)

ALGORITHMS: Sequence[Mapping[str, Any]] = (
    {
        "name": "Hospital statistics",
        "image": HOSPITAL_STATS,
        "functions": [
            _function("central_average", _COLUMN, _ORGANIZATIONS, type_="central"),
            _function("partial_average", _COLUMN),
            _function("partial_moments", _COLUMN),
            _function("partial_variance", _COLUMN, _argument("mean", "float")),
            _function("regression", _argument("outcome", "column"), _argument("predictors", "column_list")),
            _function("summary", _argument("columns", "column_list")),
        ],
    },
    {
        "name": "Probe",
        "image": PROBE,
        "functions": [
            _function("partial_sum", _COLUMN),
            _function("partial_two", databases=("first", "second")),
            _function("central_mean", _COLUMN, _ORGANIZATIONS, type_="central"),
            _function("echo", _argument("value", "json"), databases=()),
            _function(
                "flood",
                _argument("lines", "integer", has_default_value=True, default_value="3", allowed_values=["3", "300"]),
                _argument("verbose", "boolean", has_default_value=True, is_frontend_only=True),
                databases=(),
            ),
        ],
    },
)
"""What the store declares: all of hospital-stats, some of tests/algorithms/v6_probe."""


class LiveStore:
    """The store; only users of the live server may read it, which it asks the server about."""

    def __init__(self, live: LiveFederation) -> None:
        self._live = live
        self._reservation = reserved_port()
        self.port: int = self._reservation.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._program = self._serve()
        try:
            self._program.line()
            self.id = self._fill()
            """The id of its link at the server."""
        except LiveError as error:
            self.close()
            raise LiveError(f"{error}\n{self.tails()}") from error

    def close(self) -> None:
        """End it."""
        self._program.stop()
        self._reservation.close()

    def tails(self) -> str:
        """The last lines of its logs."""
        return self._program.tails()

    def _serve(self) -> Program:
        folder = self._live.server.folder / "store"
        folder.mkdir(mode=0o700, exist_ok=True)
        config = folder / "store.yaml"
        config.write_text(json.dumps(self._configuration()), encoding="utf-8")
        settings = {"config": str(config), "port": self.port, "digests": _digests()}
        return Program("the algorithm store", "serve_store.py", settings, folder)

    def _configuration(self) -> dict[str, Any]:
        owner = self._live.users.everything
        server = self._live.server
        return {
            **server.configuration(self.port, self._live.server.folder / "store" / "database.sqlite"),
            "policies": {"allow_localhost": True},
            "dev": {"host_uri": "127.0.0.1", "disable_review": True},
            "root_user": {
                "v6_server_uri": self._live.server_url,
                "username": owner.username,
                "email": f"{owner.username}@example.org",
                "organization_id": self._live.organization_ids[owner.organization],
            },
        }

    def _fill(self) -> int:
        """Link it and put algorithms into it, with the official client as people do."""
        body = {
            "algorithm_store_url": self.url,
            "name": NAME,
            "collaboration_id": self._live.collaboration_id,
            "server_url": self._live.server_url,
            "force": True,  # though it is on this machine
        }
        link: int = self._live.official(FILL, link=body, algorithms=ALGORITHMS)
        return link


def _digests() -> dict[str, str]:
    return {name: digest for image, digest in DIGESTS.items() for name in (image, f"{image}@{digest}")}


FILL = """
# not client.store.create: that of 4.15.2 makes a tuple of the collaboration's id, which the server refuses
answer = client.request("algorithmstore", json=link, method="post")["id"]
client.store.set(answer)
for algorithm in algorithms:
    made = client.algorithm.create(
        description="", partitioning="horizontal", vantage6_version="4.15", code_url="https://example.org", **algorithm
    )
    assert made.get("status") == "approved", made
"""
