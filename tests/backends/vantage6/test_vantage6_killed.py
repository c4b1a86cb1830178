"""A run on a server that is killed at any request and resumed ends like one that was not, with one task a question."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from vantage6_fake import CLOSE, Asked, Fake, Say, say
from vantage6_world import COLLABORATION, IDS, QUICK, World

import v6flow
from v6flow.backends.vantage6 import backend

PROJECT = Path(__file__).parents[3]
WORKFLOW = """\
v6flow: 1
name: killed
federation: federation.yaml
defaults: {image: probe, organizations: [alpha, beta]}
steps:
  sums: {task: {method: partial_sum}}
  total: {local: {value: "{{ steps.sums.results | sum }}"}}
  again: {task: {method: echo, kwargs: {value: "{{ steps.total.result }}"}}}
outputs: {total: "{{ steps.total.result }}", again: "{{ steps.again.results }}"}
"""
SUMS = {IDS["alpha"]: 30, IDS["beta"]: 12}
EXPECTED = {"total": 42, "again": [42, 42]}
POSTS = [f"POST /task {number} {when}" for number in range(1, 5) for when in ("before", "after")]
READS = [
    *(f"{asked} 1 before" for asked in ("POST /token/user", "GET /organization")),
    *(f"GET /run 1 {when}" for when in ("before", "after")),
    *(f"GET /task/101 {number} {when}" for number in (1, 2) for when in ("before", "after")),
]


@dataclass
class Deadly(World):
    """All answer once the open runs are listed; who asks is killed at a point: a request's kind, path and number,
    `before` or `after` it was carried out."""

    point: str = ""
    victim: int | None = None
    seen: Counter[str] = field(default_factory=Counter)
    one: Lock = field(default_factory=Lock)
    hit: bool = False

    def __call__(self, asked: Asked) -> Say:
        with self.one:
            name = f"{asked.method} {asked.path.removeprefix('/api')}"
            self.seen[name] += 1
            here = f"{name} {self.seen[name]}"
            if self.point == f"{here} before" and self._kill():
                return CLOSE
            if name == "GET /run":
                self.answer_all()
            said = self.known(asked) or super().__call__(asked)
            if self.point == f"{here} after":
                self._kill()
            return said

    def _kill(self) -> bool:
        if self.victim is None:
            return False
        os.kill(self.victim, signal.SIGKILL)
        self.hit, self.victim = True, None
        return True

    def known(self, asked: Asked) -> Say | None:
        """What it says of all but tasks and log-ins."""
        members = [{"id": number, "name": name, "public_key": ""} for name, number in IDS.items()]
        lists = {
            "/collaboration": [{"id": COLLABORATION, "name": "hospitals", "encrypted": False}],
            "/organization": members,
            "/node": [
                {"id": number, "name": name, "organization": {"id": number}, "status": "online", "config": []}
                for name, number in IDS.items()
            ],
        }
        things = {
            "/version": {"version": "4.15.2"},
            "/user/7": {"id": 7, "username": "somebody", "organization": {"id": 11}},
            "/organization/11": members[0],
        }
        path = asked.path.removeprefix("/api")
        if path in lists:
            return say({"data": lists[path], "links": {}}, total_count=str(len(lists[path])))
        if path in things:
            return say(things[path])
        if path.split("/")[1] in ("token", "task", "run", "result", "kill"):
            return None
        return say(body=b"<html>404</html>", status=404)

    def create(self, body: dict[str, Any], **more: Any) -> dict[str, Any]:
        task = super().create(body, **more)
        task["databases"] = body["databases"]
        return task

    def answer_all(self) -> None:
        """Each hospital answers what it was asked."""
        for number, run in self.runs.items():
            if run["status"] == "pending":
                asked = json.loads(base64.b64decode(run["input"]))
                ours = SUMS[run["organization"]["id"]]
                self.finish(number, ours if asked["method"] == "partial_sum" else asked["kwargs"]["value"])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "Times", lambda: QUICK)


def project(folder: Path, fake: Fake) -> list[str]:
    """The command that runs the workflow in a folder."""
    (folder / "password").write_text("password")
    (folder / "killed.yaml").write_text(WORKFLOW)
    (folder / "federation.yaml").write_text(
        f"v6flow_federation: 1\nbackend: vantage6\nserver: {fake.origin}/api\ncollaboration: hospitals\n"
        "username: somebody\npassword: ${file:password}\n"
    )
    return [sys.executable, "-m", "v6flow", "run", "killed.yaml", "--store", "store", "-q"]


@pytest.mark.parametrize("point", [*POSTS, *READS])
def test_a_killed_run_resumes_to_the_same_end(point: str, tmp_path: Path) -> None:
    world = Deadly(point=point)
    with Fake(world) as fake:
        words = project(tmp_path, fake)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "runner")}
        with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as child:
            world.victim = child.pid
            _, said = child.communicate(timeout=60)
        assert (child.returncode, world.hit) == (-9, True), said
        runs = [path.name for path in (tmp_path / "store" / "runs").glob("*")]
        if not runs:
            assert world.tasks == {}
            return
        result = v6flow.resume(runs[0], store=tmp_path / "store")
        assert (result.status, result.outputs) == ("completed", EXPECTED)
    asked = Counter(task["description"].split()[0] for task in world.tasks.values())
    assert set(asked.values()) == {1}
    assert len(asked) == 4
    assert world.killed == []
