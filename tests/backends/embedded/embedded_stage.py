"""What tests of the embedded backend stand on: a small federation, its algorithm, a collector of reports."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v6flow.backends.base import Answered, Broken, Failed, Report
from v6flow.backends.embedded.backend import EmbeddedBackend
from v6flow.backends.embedded.configuration import Algorithm, Database, EmbeddedFederation, EmbeddedOrganization, Faults
from v6flow.core.execution.commands import TaskRequest
from v6flow.core.kinds.settings import DatabaseChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

IMAGE = "registry.example/probe"
ALGORITHMS = str(Path(__file__).parents[2] / "algorithms")
PATIENCE = 60.0  # seconds until a test says that something will never happen
VALUES = {"alpha": [1, 2, 3], "beta": [4, 5], "gamma": [9]}


class Reports:
    """Collects what a backend reports, and waits for more."""

    def __init__(self) -> None:
        self.all: list[Report] = []
        self._changed = threading.Condition()

    def __call__(self, report: Report) -> None:
        with self._changed:
            self.all.append(report)
            self._changed.notify_all()

    def first(self, wanted: Callable[[Report], bool]) -> Report:
        """The first report that is wanted."""

        def found() -> Report | None:
            return next((report for report in self.all if wanted(report)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, PATIENCE)
            report = found()
        assert report is not None, f"never reported; there were only {self.all}"
        return report

    def end(self, token: str, organization: str) -> Answered | Failed:
        """How an organization ended."""
        report = self.first(
            lambda each: (
                isinstance(each, Broken)
                or (isinstance(each, (Answered, Failed)) and (each.token, each.organization) == (token, organization))
            )
        )
        assert isinstance(report, (Answered, Failed)), report
        return report

    def answer(self, token: str, organization: str) -> Answered:
        report = self.end(token, organization)
        assert isinstance(report, Answered), report
        return report

    def failure(self, token: str, organization: str) -> Failed:
        report = self.end(token, organization)
        assert isinstance(report, Failed), report
        return report


def organization(
    folder: Path,
    name: str,
    id_: int,
    *,
    values: list[int] | None = None,
    environment: Mapping[str, str] | None = None,
    offline: bool = False,
    faults: Faults | None = None,
    databases: tuple[Database, ...] | None = None,
) -> EmbeddedOrganization:
    """An organization with a CSV file of one column."""
    if databases is None:
        path = folder / f"{name}.csv"
        path.write_text("age\n" + "".join(f"{value}\n" for value in values or VALUES.get(name, [1])), encoding="utf-8")
        databases = (Database("default", str(path)),)
    return EmbeddedOrganization(
        name, id_, databases, environment=environment or {}, offline=offline, faults=faults or Faults()
    )


def federation(
    folder: Path, *organizations: EmbeddedOrganization, algorithms: dict[str, Algorithm] | None = None
) -> EmbeddedFederation:
    """A federation of these organizations, or of alpha, beta and gamma."""
    folder.mkdir(exist_ok=True)
    return EmbeddedFederation(
        file=str(folder / "federation.yaml"),
        collaboration="hospitals",
        organizations=organizations
        or tuple(organization(folder, name, id_) for id_, name in enumerate(VALUES, start=1)),
        algorithms=algorithms
        if algorithms is not None
        else {IMAGE: Algorithm(IMAGE, package="v6_probe", path=ALGORITHMS)},
    )


@contextmanager
def opened(where: EmbeddedFederation, folder: Path, **settings: Any) -> Iterator[tuple[EmbeddedBackend, Reports]]:
    """An open backend, closed in the end."""
    backend = EmbeddedBackend(where, folder, **settings)
    reports = Reports()
    backend.open(reports)
    try:
        yield backend, reports
    finally:
        backend.close()


def ask(method: str, /, *organizations: str, token: str = "t1", **kwargs: Any) -> TaskRequest:
    """A request for one method with the same arguments everywhere, on the database `default`."""
    return TaskRequest(
        token=token,
        step="step",
        attempt=1,
        image=IMAGE,
        method=method,
        kwargs=dict.fromkeys(organizations or ("alpha",), kwargs),
        databases=(DatabaseChoice("default"),),
    )


def fifo(path: Path) -> Path:
    """A file that is opened for reading only when somebody opens it for writing, and the other way round."""
    os.mkfifo(path)
    return path


def gate_opens(gate: Path) -> None:
    """Lets through the one who waits at a gate; waits for him if he is not there yet."""
    gate.write_text("open", encoding="utf-8")
