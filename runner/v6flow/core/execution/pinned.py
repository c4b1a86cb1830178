"""The values that are fixed when a run starts, so that every resume can go by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from v6flow.core.json import Json


class Pinned(Struct, frozen=True):
    """What a run was started with, or last resumed with after a change.

    The defaults stand for what runs of earlier versions did not have.
    """

    version: str = ""
    """The version of v6flow that pinned it."""
    file: str = ""
    """The workflow's file, absolute."""
    text: str = ""
    """The workflow's text; empty only where no run was started."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The texts of the other files that make up the workflow, by their paths."""
    folder: str = ""
    """The folder that relative paths in the workflow start from, absolute."""
    params: Mapping[str, Json] = field(default_factory=dict)
    federation: str | None = None
    """The federation's file; None for a workflow that needs none."""
    backend: str | None = None
    identity: str = ""
    """See `Directory.identity`; the next four are the directory's too."""
    organizations: tuple[str, ...] = ()
    ids: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, Json] = field(default_factory=dict)
    policy: Mapping[str, Json] = field(default_factory=dict)
    """The policy as `policy.parse` reads it."""
    studies: Mapping[str | int, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    """The digest of each local step's source."""
    steps: tuple[str, ...] = ()
    """The names of all steps, in the order of the plan."""
    final: tuple[str, ...] = ()
    """The steps under `finally`."""
    deadline: float | None = None
    """When the run must be over (seconds since 1970 UTC), if nobody had ever stopped working on it."""
    jobs: int | None = None
    cache: bool = True
    """Whether the run may reuse results of earlier runs."""


_KEYS = {name: name for name in Pinned.__struct_fields__} | {"final": "finally"}
_TUPLES = ("organizations", "steps", "final")


def encode(pinned: Pinned) -> dict[str, Json]:
    """The values as JSON, which `decode` reads."""
    plain: dict[str, Any] = {key: getattr(pinned, name) for name, key in _KEYS.items()}
    plain |= {_KEYS[name]: list(getattr(pinned, name)) for name in _TUPLES}
    return plain | {"studies": [[study, list(members)] for study, members in pinned.studies.items()]}


def decode(plain: Mapping[str, Any]) -> Pinned:
    """The values of a run of this version or an earlier one; keys that are not known are left out."""
    known: dict[str, Any] = {name: plain[key] for name, key in _KEYS.items() if key in plain}
    known |= {name: tuple(known[name]) for name in _TUPLES if name in known}
    if "studies" in known:
        known["studies"] = {study: tuple(members) for study, members in known["studies"]}
    return Pinned(**known)
