"""What every backend's access does unless it says otherwise, and how a federation is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from msgspec import field

from v6flow import backends
from v6flow.backends.base import Access, Federation, FederationFile
from v6flow.core.checks.findings import ok
from v6flow.core.directory import Directory
from v6flow.core.language.problem import InvalidError, Position, Problem
from v6flow.core.policy import Policy
from v6flow.errors import AccessError, FederationError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from v6flow.backends.base import Backend
    from v6flow.core.checks.findings import Finding
    from v6flow.core.planning.plan import Plan
    from v6flow.errors import V6flowError


class Plainest(Federation, frozen=True):
    """Says nothing but what all federations say; `accesses` are those that were made."""

    backend: ClassVar[str] = "plainest"
    access_class: ClassVar[str] = f"{__name__}:PlainestAccess"
    error: V6flowError | None = None
    accesses: list[PlainestAccess] = field(default_factory=list)

    @classmethod
    def parse(cls, file: FederationFile) -> Plainest:
        return cls(**file.shared())


class PlainestAccess(Access):
    def __init__(self, federation: Plainest) -> None:
        self.error = federation.error
        self.closed = False
        federation.accesses.append(self)

    def connect(self) -> None:
        if self.error is not None:
            raise self.error

    def directory(self, *, studies: bool = False, stores: bool = False) -> Directory:
        return Directory(("alpha",))

    def preflight(self, plan: Plan | None) -> list[Finding]:
        return [ok("federation", "it is there")]

    def backend(self, folder: Path, *, jobs: int | None = None) -> Backend:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def parsed(**raw: object) -> Plainest:
    return Plainest.parse(FederationFile("/d/f.yaml", raw, str, str))


def test_what_all_federation_files_say_is_read_once() -> None:
    found = parsed(jobs=2, defaults={"timeout": "1h"}, policy={"min_count": 5})
    assert (found.file, found.jobs, found.defaults, found.policy) == (
        "/d/f.yaml", 2, {"timeout": "1h"}, Policy(min_count=5),
    )  # fmt: skip
    assert (parsed().jobs, parsed().defaults, parsed().policy) == (None, {}, Policy())


def test_one_that_cannot_be_reached_is_closed() -> None:
    there = Plainest(file="f.yaml")
    assert backends.reach(there) is there.accesses[0]
    assert not there.accesses[0].closed
    away = Plainest(UnreachableError("it is away"), file="f.yaml")
    with pytest.raises(UnreachableError):
        backends.reach(away)
    assert away.accesses[0].closed


def invalid(_: Callable[..., Directory]) -> Plan:
    raise InvalidError([Problem("wrong here", "rule", "w.yaml", Position(1, 1))])


def missing(look: Callable[..., Directory]) -> Plan:
    raise FederationError(f"not among {look().organizations}")


def test_findings_say_how_far_one_came() -> None:
    def told(federation: Federation, make: Callable[[Callable[..., Directory]], Plan] | None) -> list[tuple[str, str]]:
        return [(each.status, each.message) for each in federation.access().examine(make)]

    there = ("ok", "it is there")
    assert told(Plainest(file="f.yaml"), None) == [there]
    assert told(Plainest(AccessError("denied"), file="f.yaml"), None) == [("problem", "denied")]
    assert told(Plainest(file="f.yaml"), invalid) == [("problem", "w.yaml:1:1: wrong here [rule]"), there]
    assert told(Plainest(file="f.yaml"), missing) == [("problem", "not among ('alpha',)"), there]


def test_a_backend_may_leave_out_what_it_does_not_have(tmp_path: Path) -> None:
    federation = Plainest(file="f.yaml")
    access = federation.access()
    assert (federation.directory(), federation.awaited(), access.handed_on()) == (None, None, {})
    assert (access.contents(), access.log(tmp_path, "token", "alpha")) == ("", None)
    assert access.upload_key(replace=False, announce=lambda lines: None) is None


def test_a_name_that_nobody_has() -> None:
    assert backends.find("nobodys") is None
    assert backends.known()[: len(backends.BACKENDS)] == [*backends.BACKENDS]
