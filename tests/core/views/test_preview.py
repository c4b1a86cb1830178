"""What `plan` shows before anything runs."""

# ruff: noqa: E501 - YAML, tables and sentences stand in one piece

from __future__ import annotations

from typing import Any

from driver import make

from v6flow.core.views.known import UNKNOWN
from v6flow.core.views.preview import preview


def shown(text: str) -> dict[str, dict[str, Any]]:
    return {told.step: told.as_json() for told in preview(make(text))}


def test_a_task() -> None:
    told = shown("""
params: {column: {default: age}}
steps:
  a:
    task: {method: m, kwargs: {column: "{{ params.column }}"}, databases: [{label: d, query: q, sheet_name: s,
           preprocessing: [{function: f}], arguments: {x: 1}}, plain]}
    quorum: {min: 2, required: [alpha], wait: quorum}
    retry: {attempts: 3, delay: 30s, backoff: 2, max_delay: 1m}
    timeout: none
""")["a"]
    assert told == {
        "step": "a", "kind": "task", "needs": [], "image": "i", "method": "m", "central": False,
        "organizations": ["alpha", "beta", "gamma"], "kwargs": {"column": "age"}, "isolation": "organization",
        "databases": [{"label": "d", "query": "q", "sheet_name": "s", "preprocessing": [{"function": "f"}],
                       "arguments": {"x": 1}}, {"label": "plain"}],
        "quorum": {"min": 2, "required": ["alpha"], "wait": "quorum"},
        "retry": {"attempts": 3, "delay": 30.0, "backoff": 2.0, "on": ["start_failed", "unknown"], "max_delay": 60.0},
        "timeout": None, "name": "w/a",
    }  # fmt: skip


def test_what_is_known_only_later_is_marked() -> None:
    told = shown("""
steps:
  a: {task: {method: m}}
  b:
    task: {method: m, organizations: "{{ steps.a.responded }}", kwargs: {mean: "{{ steps.a.results[0] }}", x: 1}}
    quorum: {min: "{{ steps.a.responded | length }}"}
    on_failure: continue
    mixed_cohorts: because
    allow_cross_site: they agreed
  own:
    task: {method: m, organizations: "{{ steps.a.responded }}", kwargs: {me: "{{ organization }}"}}
  c:
    local: {value: ["{{ steps.b.status }}", 2]}
""")
    b = told["b"]
    assert b["organizations"] == {UNKNOWN: "{{ steps.a.responded }}"}
    assert b["kwargs"] == {"mean": {UNKNOWN: "{{ steps.a.results[0] }}"}, "x": 1}
    assert b["quorum"]["min"] == {UNKNOWN: "{{ steps.a.responded | length }}"}
    assert (b["needs"], b["on_failure"], b["mixed_cohorts"]) == (["a"], "continue", "because")
    assert b["allow_cross_site"] == "they agreed"
    assert told["own"]["kwargs"] == {UNKNOWN: {"me": "{{ organization }}"}}
    assert told["c"] == {
        "step": "c",
        "kind": "local",
        "needs": ["b"],
        "value": [{UNKNOWN: "{{ steps.b.status }}"}, 2],
    }


def test_each_organization_and_its_own_kwargs() -> None:
    told = shown("""
steps:
  a: {task: {method: m, organizations: [alpha, beta], kwargs: {me: "{{ organization }}", x: "{{ {'alpha': 1}[organization] }}"}}}
""")["a"]
    assert "kwargs" not in told
    assert told["kwargs_by_organization"]["alpha"] == {"me": "alpha", "x": 1}
    assert "beta" in told["kwargs_by_organization"]["beta"]["$error"]


def test_local_steps() -> None:
    told = shown("""
steps:
  f: {local: {function: "m:f", kwargs: {x: 1}}, memory: 1K, timeout: 2m}
  c: {local: {command: [prog, "{{ run.name }}"]}, retry: 2}
""")
    assert told["f"] == {
        "step": "f", "kind": "local", "needs": [], "function": "m:f", "kwargs": {"x": 1}, "timeout": 120.0,
        "memory": 1024, "retry": {"attempts": 1},
    }  # fmt: skip
    assert (told["c"]["command"], told["c"]["retry"]["attempts"]) == (["prog", "w"], 2)
    assert "function" not in told["c"]


def test_what_stands_in_rounds_and_items() -> None:
    told = shown("""
params: {column: {default: age}}
steps:
  fit:
    repeat:
      state: {b: 0}
      max: 5
      steps:
        part: {task: {method: m, kwargs: {b: "{{ loop.state.b }}", column: "{{ params.column }}"},
               organizations: "{{ ['alpha'] if loop.index > 1 else ['beta'] }}"}}
        mean: {local: {value: "{{ sum(steps.part.results) }}"}}
      update: {b: "{{ steps.mean.result }}"}
      until: "{{ loop.next.b > 1 }}"
  table: {foreach: {over: [a], as: x, steps: {v: {local: {value: "{{ each.x }}"}}}, result: "{{ steps.v.result }}"}}
""")
    assert list(told) == ["fit", "fit.part", "fit.mean", "table", "table.v"]
    assert (told["fit"]["state"], told["fit"]["max"], told["fit"]["cohort"]) == ({"b": 0}, 5, "fixed")
    assert told["fit.part"]["kwargs"] == {"b": {UNKNOWN: "{{ loop.state.b }}"}, "column": "age"}
    assert UNKNOWN in told["fit.part"]["organizations"]
    assert told["fit.mean"]["value"] == {UNKNOWN: "{{ sum(steps.part.results) }}"}
    assert (told["table"]["over"], told["table"]["as"]) == (["a"], "x")
    assert told["table.v"]["value"] == {UNKNOWN: "{{ each.x }}"}


def test_what_each_is_sent_is_told_only_where_all_are_known() -> None:
    told = shown("""
steps:
  a: {task: {method: m, organization: alpha}}
  b: {task: {method: m, organizations: [beta, "{{ steps.a.responded[0] }}"], kwargs: {me: "{{ organization }}"}}}
""")["b"]
    assert told["organizations"] == ["beta", {UNKNOWN: "{{ steps.a.responded[0] }}"}]
    assert "kwargs_by_organization" not in told
