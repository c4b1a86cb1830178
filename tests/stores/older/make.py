"""Makes a project with a run of each kind by the v6flow that is installed, as `format-N.tar.gz` beside this file.

Done once for each format of journals, by the last version that wrote it: `python tests/stores/older/make.py N`.
Every run is made in one folder, ROOT, whose path stands in the journals; `older.unpack` puts another in its place.
"""

# ruff: noqa: E501 - YAML stands in one piece

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from v6flow.core.execution import events
from v6flow.stores.folder.store import FolderStore

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
ROOT = Path("/tmp/v6flow-study")
PATIENCE = 60.0  # seconds until a run has come to where it is to be killed

ALGORITHM = '''\
"""Sums of a column, and what a central function makes of them."""

from vantage6.algorithm.tools.decorators import algorithm_client, data


@data(1)
def partial_sum(df, column):
    print(f"summing {column}")
    return {"sum": float(df[column].sum()), "count": int(df[column].count())}


@algorithm_client
def central_mean(client, column):
    ids = [each["id"] for each in client.organization.list()]
    input_ = {"method": "partial_sum", "kwargs": {"column": column}}
    task = client.task.create(input_=input_, organizations=ids)
    results = client.wait_for_results(task_id=task["id"])
    return {"mean": sum(each["sum"] for each in results) / sum(each["count"] for each in results)}
'''

# an organization that is offline does not belong to what a resume compares, nor does what its files hold
FEDERATION = """\
v6flow_federation: 1
backend: embedded
collaboration: study
organizations:
  alpha: {databases: {default: alpha.csv}}
  beta: {databases: {default: beta.csv}}
  gamma: {databases: {default: gamma.csv}}
algorithms:
  "example/stats:1": {package: older_stats, path: .}
defaults: {image: "example/stats:1"}
"""
OFFLINE = FEDERATION.replace("beta.csv}}", "beta.csv}, offline: true}")

DATA = {"alpha": "age\n10\n20\n", "beta": "age\n30\n", "gamma": "age\n40\n60\n"}
EMPTY = "age\n"  # what it answers fails the check

FILES = {
    "older_stats/__init__.py": ALGORITHM,
    "doubled.py": "def doubled(values):\n    return [2 * each for each in values]\n",
    "inner.yaml": """\
v6flow: 1
name: inner
params: {column: {type: string}, wait: {type: boolean, default: false}}
steps:
  sums: {task: {method: partial_sum, kwargs: {column: "{{ params.column }}"}}}
  pause: {local: {command: [sh, wait.sh, "{{ params.wait | json }}"]}, needs: [sums]}
outputs: {sum: "{{ sum(steps.sums.results, attribute='sum') }}"}
""",
    "wait.sh": 'while [ "$1" = true ] && [ ! -e open ]; do sleep 0.02; done\necho true\n',
    "every.yaml": """\
v6flow: 1
name: every
federation: federation.yaml
params: {column: {type: string, default: age}}
steps:
  many: {task: {method: partial_sum, kwargs: {column: "{{ params.column }}"}}, cache: 30d}
  one: {task: {method: partial_sum, organization: alpha, kwargs: {column: age}}, properties: {n: "{{ this.result.count }}"}}
  central: {task: {method: central_mean, central: true, organization: beta, kwargs: {column: age}}}
  doubled: {local: {function: "doubled.py:doubled", kwargs: {values: "{{ steps.many.results | map(attribute='sum') }}"}}, cache: 30d}
  told: {local: {command: [sh, -c, 'echo "\\"$1\\""', sh, "{{ steps.doubled.result | length }}"]}}
  rounds:
    repeat:
      state: 0
      steps: {next: {local: {value: "{{ loop.state + 1 }}"}}}
      update: "{{ steps.next.result }}"
      until: "{{ loop.next >= 3 }}"
      max: 5
  items:
    foreach:
      over: [alpha, gamma]
      steps: {sum: {task: {method: partial_sum, organization: "{{ each.item }}", kwargs: {column: age}}}}
      result: "{{ steps.sum.result.sum }}"
    mixed_cohorts: a row for each hospital
  file: {workflow: {file: inner.yaml, params: {column: age}}}
  person: {gate: {message: "Publish {{ steps.central.result.mean }}?"}}
  left_out: {local: {value: 1}, when: "{{ steps.one.result.count > 100 }}"}
outputs:
  sums: "{{ steps.many.results | map(attribute='sum') }}"
  mean: "{{ steps.central.result.mean }}"
  doubled: "{{ steps.doubled.result }}"
  told: "{{ steps.told.result }}"
  rounds: "{{ steps.rounds.result }}"
  items: {value: "{{ steps.items.results }}", mixed_cohorts: a row for each hospital}
  file: "{{ steps.file.result.sum }}"
  person: "{{ steps.person.result.decision }}"
finally:
  end: {local: {value: "{{ run.status }}"}}
""",
    "task.yaml": """\
v6flow: 1
name: task
federation: federation.yaml
steps:
  sums:
    task: {method: partial_sum, kwargs: {column: age}}
    checks: [{each: "{{ result.count > 0 }}", message: "no rows"}]
    timeout: none
outputs: {sum: "{{ sum(steps.sums.results, attribute='sum') }}"}
""",
    "local.yaml": """\
v6flow: 1
name: local
steps:
  first: {local: {value: 1}}
  pause: {local: {command: [sh, wait.sh, "true"]}, needs: [first], timeout: none}
outputs: {first: "{{ steps.first.result }}", pause: "{{ steps.pause.result }}"}
""",
    "repeat.yaml": """\
v6flow: 1
name: repeat
federation: federation.yaml
steps:
  rounds:
    repeat:
      state: 0
      steps:
        sums: {task: {method: partial_sum, kwargs: {column: age}}}
        pause: {local: {command: [sh, wait.sh, "{{ (loop.index == 2) | json }}"]}, needs: [sums], timeout: none}
      update: "{{ loop.state + sum(steps.sums.results, attribute='count') }}"
      max: 3
      on_max: continue
outputs: {total: "{{ steps.rounds.result }}"}
""",
    "foreach.yaml": """\
v6flow: 1
name: foreach
federation: federation.yaml
steps:
  items:
    foreach:
      over: [1, 2, 3]
      max_parallel: 1
      steps:
        sums: {task: {method: partial_sum, kwargs: {column: age}}}
        pause: {local: {command: [sh, wait.sh, "{{ (each.item == 2) | json }}"]}, needs: [sums], timeout: none}
      result: "{{ each.item * sum(steps.sums.results, attribute='count') }}"
outputs: {items: "{{ steps.items.results }}"}
""",
    "workflow.yaml": """\
v6flow: 1
name: workflow
federation: federation.yaml
defaults: {timeout: none}
steps:
  file: {workflow: {file: inner.yaml, params: {column: age, wait: true}}}
outputs: {sum: "{{ steps.file.result.sum }}"}
""",
    "gate.yaml": """\
v6flow: 1
name: gate
federation: federation.yaml
steps:
  sums: {task: {method: partial_sum, kwargs: {column: age}}}
  person: {gate: {message: "Publish {{ sum(steps.sums.results, attribute='sum') }}?"}}
outputs: {sum: "{{ sum(steps.sums.results, attribute='sum') }}", by: "{{ steps.person.result.decision }}"}
""",
}  # fmt: skip


def main(number: str) -> None:
    if ROOT.exists():
        sys.exit(f"{ROOT} is there: remove it first")
    for name, text in {**FILES, **{f"{each}.csv": text for each, text in DATA.items()}}.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _federation(FEDERATION)
    _v6flow("run", "every.yaml", expected=6)
    _v6flow("approve", _newest("every"), "person")
    _v6flow("resume", _newest("every"))
    _v6flow("run", "gate.yaml", expected=6)
    (ROOT / "gamma.csv").write_text(EMPTY)
    _v6flow("run", "task.yaml", expected=1)  # failed: gamma
    (ROOT / "gamma.csv").write_text(DATA["gamma"])
    _federation(OFFLINE)
    _killed("task.yaml", lambda found: _count(found, events.TaskAnswered) == 2)
    _killed("task.yaml", lambda found: _count(found, events.TaskAnswered) == 2)
    _v6flow("cancel", _newest("task"))
    _federation(FEDERATION)
    _killed("local.yaml", lambda found: _count(found, events.LocalRequested) == 1)
    _killed("repeat.yaml", lambda found: _count(found, events.LocalRequested) == 2)
    _killed("foreach.yaml", lambda found: _count(found, events.LocalRequested) == 2)
    _killed("workflow.yaml", lambda found: _count(found, events.LocalRequested) == 1)
    for cached in ROOT.rglob("__pycache__"):
        shutil.rmtree(cached)
    with tarfile.open(HERE / f"format-{number}.tar.gz", "w:gz") as archive:
        archive.add(ROOT, arcname="study", filter=_anonymous)
    shutil.rmtree(ROOT)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _federation(text: str) -> None:
    (ROOT / "federation.yaml").write_text(text)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "v6flow", *words]


def _v6flow(*words: str, expected: int = 0) -> None:
    done = subprocess.run(_command(*words), cwd=ROOT, check=False)
    if done.returncode != expected:
        sys.exit(f"{words} ended with {done.returncode}, not {expected}")


def _newest(workflow: str) -> str:
    return next(run for run in _runs() if run.startswith(f"{workflow}-"))


def _killed(workflow: str, enough: Callable[[list[events.Event]], bool]) -> None:
    """Run a workflow, and kill it once enough has happened."""
    before = set(_runs())
    process = subprocess.Popen(_command("run", workflow), cwd=ROOT)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        new = set(_runs()) - before
        if new and enough(_events(new.pop())):
            break
        time.sleep(0.05)
    else:
        sys.exit(f"{workflow} did not come to where it was to be killed")
    process.kill()
    process.wait()


def _runs() -> list[str]:
    return FolderStore(ROOT / ".v6flow").runs()


def _events(run: str) -> list[events.Event]:
    return list(FolderStore(ROOT / ".v6flow").find(run).events())


def _count(found: list[events.Event], kind: type[events.Event]) -> int:
    return sum(isinstance(each, kind) for each in found)


if __name__ == "__main__":
    main(sys.argv[1])
