"""The engine: nothing is done before it is written down, and what comes back is judged before it enters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from fakes import (
    ORGANIZATIONS,
    FakeBackend,
    FakeClock,
    FakeJournal,
    FakeLocal,
    answers,
    begun,
    carry_on,
    engine,
    make,
)
from v6flow.backends.base import Accepted, Answered, Broken, Dispatched, Failed, Looked, Remarked, Working
from v6flow.core.execution import events as ev
from v6flow.core.execution.events import Subtask
from v6flow.core.execution.reuse import Basis, Kept, Key, ReusableAnswer
from v6flow.core.execution.state import replay
from v6flow.core.views.incomplete import of_run
from v6flow.errors import (
    AccessError,
    NoSpaceError,
    PersonNeededError,
    UnreachableError,
    V6flowError,
)
from v6flow.stores.base import CancelRequest, DecisionRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from v6flow.backends.base import Report
    from v6flow.core.execution.commands import TaskRequest
    from v6flow.core.execution.events import Event
    from v6flow.core.execution.state import RunState
    from v6flow.core.planning.plan import Plan

ASK = """\
steps:
  s: {task: {method: m}}
outputs: {s: "{{ steps.s.by_organization }}", list: "{{ steps.s.results }}"}
"""
CHAIN = """\
steps:
  s: {task: {method: m}}
  mean: {local: {function: "f.py:mean", kwargs: {values: "{{ steps.s.results }}"}}}
  again: {task: {method: m, kwargs: {mean: "{{ steps.mean.result }}"}, organizations: "{{ steps.s.responded }}"}}
outputs: {again: "{{ steps.again.results }}"}
"""
GOOD = {"alpha": b"1", "beta": b"2", "gamma": b"3"}


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# ------------------------------------------------------------------------------------- decide, journal, perform


def test_a_chain_runs_to_its_outputs() -> None:
    state = carry_on(make(CHAIN), FakeJournal(), answers(GOOD), FakeLocal({"mean": mean}))
    assert state.status == "completed"
    assert state.outputs == {"again": [1, 2, 3]}
    assert state.exit_code == 0


def test_nothing_is_submitted_before_its_intent_is() -> None:
    journal = FakeJournal()

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        requested = {event.token for event in journal.of(ev.TaskRequested)}
        assert request.token in requested, "sent, and not written down"
        kinds, durable = journal.writes[-1]
        assert "TaskRequested" in kinds
        assert durable
        for name in request.kwargs:
            yield Answered(request.token, name, b"1")

    backend = FakeBackend(script)
    state = carry_on(make(CHAIN), journal, backend, FakeLocal({"mean": mean}))
    assert state.status == "completed"
    assert len(backend.submitted) == 6


def test_no_child_process_is_started_before_its_intent_is() -> None:
    journal = FakeJournal()

    def look(values: list[float]) -> float:
        assert journal.writes[-1] == (("LocalRequested",), True)
        return mean(values)

    assert carry_on(make(CHAIN), journal, answers(GOOD), FakeLocal({"mean": look})).status == "completed"


def test_what_was_answered_is_durable_before_anything_follows_from_it() -> None:
    journal = FakeJournal()
    carry_on(make(CHAIN), journal, answers(GOOD), FakeLocal({"mean": mean}))
    answered = [durable for kinds, durable in journal.writes if set(kinds) & {"TaskAnswered", "RunCompleted"}]
    assert answered
    assert all(answered)


def _writes() -> int:
    journal = FakeJournal()
    carry_on(make(CHAIN), journal, answers(GOOD), FakeLocal({"mean": mean}))
    return len(journal.writes)


@pytest.mark.parametrize("full_at", range(2, _writes() + 1))
def test_without_space_nothing_is_sent_that_is_not_written_and_it_goes_on_later(
    full_at: int,
) -> None:
    journal, backend = FakeJournal(full_at=full_at), answers(GOOD)
    made = make(CHAIN)
    with pytest.raises(NoSpaceError):
        carry_on(made, journal, backend, FakeLocal({"mean": mean}))
    written = {event.token for event in journal.of(ev.TaskRequested)}
    assert {request.token for request in backend.submitted} <= written
    assert backend.closed
    answered = {(event.step, event.organization) for event in journal.of(ev.TaskAnswered)}

    journal.full_at = None
    later = answers(GOOD)
    state = carry_on(made, journal, later, FakeLocal({"mean": mean}))
    assert state.outputs == {"again": [1, 2, 3]}
    asked_later = {(request.step, name) for request in later.submitted for name in request.kwargs}
    assert not asked_later & answered, "asked again what was journalled as answered"
    assert set(later.again) <= written


# ----------------------------------------------------------------------------------------------- odd answers


def test_late_doubled_and_unknown_answers_do_not_enter() -> None:
    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        yield Accepted("0" * 32, "task 9")
        yield Working("0" * 32, name)
        yield Answered("0" * 32, name, b"666")
        yield Failed("0" * 32, name, "crashed", "not ours")
        yield Answered(request.token, "delta", b"666")
        yield Answered(request.token, name, json.dumps(name).encode())
        yield Answered(request.token, name, b"666")
        yield Failed(request.token, name, "crashed", "too late")

    journal = FakeJournal()
    state = carry_on(make(ASK), journal, FakeBackend(script))
    assert state.outputs["list"] == list(ORGANIZATIONS)
    assert len(journal.of(ev.TaskAnswered)) == 3
    assert journal.of(ev.TaskFailed, ev.TaskStarted) == []


def test_when_an_organization_begins_is_journalled_and_how_large_its_answer_is() -> None:
    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        yield Working(request.token, name, 999.5)
        yield Working(request.token, name, 999.5)  # as it is found again after a resume
        yield Answered(request.token, name, b" 666", image="sha256:5")
        yield Working(request.token, name, 999.5)

    journal = FakeJournal()
    carry_on(make(ASK), journal, FakeBackend(script))
    began = journal.of(ev.TaskStarted)
    assert [(each.organization, each.attempt, each.began) for each in began] == [
        (name, 1, 999.5) for name in ORGANIZATIONS
    ]
    assert {(each.size, each.image) for each in journal.of(ev.TaskAnswered)} == {(4, "sha256:5")}
    assert (("TaskStarted",), False) in journal.writes


LATE = """\
steps:
  s: {task: {method: m}, quorum: {min: 2, wait: quorum}}
  t: {task: {method: m, organization: alpha}, needs: [s]}
outputs: {s: "{{ steps.s.results }}"}
"""


def test_an_answer_after_the_quorum_does_not_enter_and_is_journalled_as_late_once() -> None:
    journal = FakeJournal()
    tokens: dict[str, str] = {}

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        if request.step == "t":
            yield Answered(tokens["gamma"], "gamma", b"9")
            yield Answered(tokens["gamma"], "gamma", b"9")
            yield Answered(tokens["beta"], "beta", b"9")  # which has answered in time
        elif name == "gamma":
            tokens[name] = request.token
            return
        tokens[name] = request.token
        yield Answered(request.token, name, b"1")

    state = carry_on(make(LATE), journal, FakeBackend(script))
    assert (state.status, state.outputs) == ("completed", {"s": [1, 1]})
    assert journal.of(ev.TaskLate) == [ev.TaskLate(1000.0, "s", "gamma", 1)]
    assert list(map(str, of_run(state))) == ["s: 2 of 3 answered (gamma answered too late)"]


def test_an_answer_after_the_deadline_does_not_enter() -> None:
    clock = FakeClock()

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        if name != "gamma":
            yield Answered(request.token, name, b"1")
            return
        clock.at += 11
        yield Working(request.token, name)

    journal = FakeJournal()
    backend = FakeBackend(script)
    text = "steps:\n  s: {task: {method: m}, timeout: 10s, quorum: 2}\noutputs: {s: '{{ steps.s.responded }}'}\n"
    engine(make(text), journal, backend, clock=clock).run()
    state = replay(journal.events())
    assert state.outputs == {"s": ["alpha", "beta"]}
    assert state.step("s").missing == ["gamma"]
    assert [names for _, names in backend.killed] == [("gamma",)]


def test_results_in_another_order_are_keyed_by_organization_in_the_order_asked() -> None:
    text = ASK.replace("{method: m}", "{method: m, isolation: task, organizations: [gamma, alpha, beta]}")

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        for name in ("beta", "gamma", "alpha"):
            yield Answered(request.token, name, json.dumps(name).encode())

    state = carry_on(make(text), FakeJournal(), FakeBackend(script))
    assert state.outputs["list"] == ["gamma", "alpha", "beta"]
    assert list(state.outputs["s"]) == ["gamma", "alpha", "beta"]  # type: ignore[arg-type]  # a mapping
    assert state.outputs["s"] == {name: name for name in ORGANIZATIONS}


def test_what_an_organization_answers_is_checked_before_it_is_kept() -> None:
    text = """\
steps:
  s:
    task: {method: m}
    quorum: 2
    output_schema: {type: integer}
    checks: [{each: "{{ result < 3 }}", message: "too much at {{ organization }}"}]
outputs: {s: "{{ steps.s.by_organization }}", failed: "{{ steps.s.failures }}"}
"""
    journal = FakeJournal()
    state = carry_on(make(text), journal, answers(GOOD))
    assert state.outputs["s"] == {"alpha": 1, "beta": 2}
    assert [event.organization for event in journal.of(ev.TaskAnswered)] == ["alpha", "beta"]
    (failed,) = journal.of(ev.TaskFailed)
    assert (failed.failure.kind, failed.failure.message) == ("check", "too much at gamma")
    assert failed.failure.log_tail == "log of gamma"
    state = carry_on(make(text), FakeJournal(), answers({**GOOD, "beta": b'"x"'}))
    assert (state.failure and state.failure.kind) == "output_schema"


def test_a_result_about_too_few_is_nowhere() -> None:
    text = """\
steps:
  s: {task: {method: m}, quorum: 2, disclosure: {min_count: 10}}
outputs: {s: "{{ steps.s.by_organization }}", why: "{{ steps.s.failures }}"}
"""
    bodies = dict.fromkeys(ORGANIZATIONS, b'{"count": 10}') | {"gamma": b'{"count": 4}'}

    class Journal(FakeJournal):
        def keep(self, body: bytes) -> str:
            assert not body, "what they printed is kept"
            return super().keep(body)

    journal, backend = Journal(), answers(bodies)
    state = carry_on(make(text), journal, backend)
    assert state.outputs == {
        "s": {"alpha": {"count": 10}, "beta": {"count": 10}},
        "why": {
            "gamma": {
                "status": "disclosure",
                "message": "its result is refused unseen: it is about fewer than 10",
                "log_tail": "",
            }
        },
    }
    (failed,) = journal.of(ev.TaskFailed)
    assert failed.log is None
    asked = {(each.token, each.name) for each in state.step("s").organizations.values()}
    assert set(backend.forgotten) == asked, "of a good answer nothing beside the journal is kept either"
    assert "4}" not in str(list(journal.events()))


def test_a_refused_result_is_forgotten_only_when_its_refusal_is_written() -> None:
    text = "steps:\n  s: {task: {method: m}, disclosure: {min_count: 10}}\n"
    backend = answers(dict.fromkeys(ORGANIZATIONS, b'{"count": 4}'))
    journal = FakeJournal(full_at=3)
    with pytest.raises(NoSpaceError):
        carry_on(make(text), journal, backend)
    assert backend.forgotten == []
    assert journal.of(ev.TaskFailed) == []


ROW = "patient 4711"
GUARDED = "steps:\n  s: {task: {method: m}, disclosure: {min_count: 10}}\n"
GUARDED_CENTRAL = GUARDED.replace("{method: m}", "{method: m, central: true, organization: alpha}")
LOST = (Subtask("beta", "crashed", ROW, ROW, log=ROW), Subtask("gamma", "completed", log=ROW))


def crashed(kind: str, *, own: bool = False, lost: tuple[Subtask, ...] = ()) -> FakeBackend:
    """A backend at which each organization fails, and all that is said of it quotes a patient's row."""

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        for name in request.kwargs:
            yield Failed(request.token, name, kind, ROW, f"{ROW}\n", f"mend {ROW}", lost, own)

    return FakeBackend(script)


@pytest.mark.parametrize(
    "kind",
    ["crashed", "garbage", "start_failed", "unknown", "no_image", "no_database", "killed", "consequence", "a new one"],
)
def test_of_a_failure_where_few_may_not_be_known_only_its_kind_is_kept(kind: str) -> None:
    journal = FakeJournal()
    carry_on(make(GUARDED), journal, crashed(kind))
    failed = journal.of(ev.TaskFailed)
    assert [(each.failure.kind, each.log, each.failure.log_tail) for each in failed] == [(kind, None, "")] * 3
    assert ROW not in str(list(journal.events()))
    assert "(the details are withheld, because the step's disclosure sets min_count)" in failed[0].failure.message
    assert "the administrator of the organization's node can read the log there" in failed[0].failure.hint


def test_what_subtasks_print_is_not_kept_where_few_may_not_be_known() -> None:
    journal = FakeJournal()
    carry_on(make(GUARDED_CENTRAL), journal, crashed("crashed", lost=LOST))
    (failed,) = journal.of(ev.TaskFailed)
    assert ROW not in str(list(journal.events()))
    assert failed.subtasks == (Subtask("beta", "crashed", "the details are withheld"), Subtask("gamma", "completed"))
    assert failed.failure.message.startswith("the subtask at beta crashed: the details are withheld; ")
    assert (failed.failure.organization, failed.failure.log_tail) == ("beta", "")


def test_what_subtasks_that_are_at_work_print_is_not_kept_either() -> None:
    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        yield Dispatched(request.token, "alpha", LOST)
        yield Answered(request.token, "alpha", b'{"count": 12}', ROW, LOST)

    journal = FakeJournal()
    text = GUARDED_CENTRAL.replace("true,", "true, subtasks: partial,")
    carry_on(make(text), journal, FakeBackend(script))
    assert len(journal.of(ev.SubtasksSeen)) == 1
    assert ROW not in str(list(journal.events()))


def test_what_v6flow_itself_says_of_a_failure_is_kept() -> None:
    journal = FakeJournal()
    carry_on(make(GUARDED), journal, crashed("not_allowed", own=True))
    failure = journal.of(ev.TaskFailed)[0].failure
    assert (failure.message, failure.hint, failure.log_tail) == (ROW, f"mend {ROW}", "")


def test_the_hint_on_what_is_not_finite_is_kept() -> None:
    journal = FakeJournal()
    carry_on(make(GUARDED), journal, answers(dict.fromkeys(ORGANIZATIONS, b'{"patient 4711": 1e400}')))
    failure = journal.of(ev.TaskFailed)[0].failure
    assert failure.message == "its result is refused: a number is too large to be finite"
    assert "allow_nonfinite: true" in failure.hint


def test_a_failure_is_told_as_it_is_where_nobody_demands_a_count() -> None:
    journal, backend = FakeJournal(), crashed("crashed")
    carry_on(make("steps:\n  s: {task: {method: m}}\n"), journal, backend)
    failed = journal.of(ev.TaskFailed)[0]
    assert (failed.failure.message, failed.failure.log_tail, failed.log is None) == (ROW, ROW, False)
    assert backend.forgotten == []
    assert not backend.submitted[0].withheld


def test_the_backend_is_told_that_logs_are_withheld() -> None:
    backend = crashed("crashed")
    carry_on(make(GUARDED), FakeJournal(), backend)
    assert all(each.withheld for each in backend.submitted)


def test_what_a_process_that_was_killed_could_not_forget_is_forgotten_on_resume() -> None:
    journal = FakeJournal()
    carry_on(make(GUARDED), journal, answers(dict.fromkeys(ORGANIZATIONS, b'{"count": 4}')))
    tokens = {(each.token, each.organizations[0]) for each in journal.of(ev.TaskRequested)}
    before = [each for each in journal.events() if not isinstance(each, (ev.StepFailed, ev.RunFailed))]
    again, backend = FakeJournal(), answers({})
    again.append(before, durable=True)
    carry_on(make(GUARDED), again, backend)
    assert backend.submitted == []
    assert set(backend.forgotten) == tokens


def test_nothing_is_kept_of_who_was_killed_when_enough_had_answered() -> None:
    text = "steps:\n  s: {task: {method: m}, quorum: {min: 2, wait: quorum}, disclosure: {min_count: 1}}\n"
    journal, backend = FakeJournal(), answers({"alpha": b'{"count": 4}', "beta": b'{"count": 4}'})
    state = carry_on(make(text), journal, backend)
    gamma = state.step("s").organizations["gamma"]
    assert backend.killed == [(gamma.token, ("gamma",))]
    assert (gamma.token, "gamma") in backend.forgotten


def test_a_gate_hears_a_decision_about_what_it_asked_and_no_other() -> None:
    journal = FakeJournal()
    made = make("steps: {a: {gate: {message: m}}, b: {gate: {message: m}}}")
    working = engine(made, journal)
    working.run()
    assert replay(journal.events()).status == "waiting"
    again = engine(made, journal)
    for step, asked, by in (("a", 1.0, "too early"), ("a", 1000.0, "anna"), ("a", 1000.0, "too late"), ("c", 1.0, "x")):
        again.hear(DecisionRequest(step, asked, "approved", by, ""))
    again.run()
    assert [event.by for event in journal.of(ev.GateDecided)] == ["anna"]
    assert replay(journal.events()).status == "waiting"  # for b


BAD = {
    "null": (b"null", "null"),
    "empty": (b"", "empty"),
    "blank": (b" \n", "empty"),
    "garbage": (b"<html>", "not JSON"),
    "half": (b'{"a": ', "not JSON"),
    "pickle": (b"\x80\x04K\x01.", "UTF-8"),
    "nan": (b'{"a": NaN}', "not finite"),
    "infinity": (b"[-Infinity]", "not finite"),
    "too large": (b"1e400", "too large"),
    "twice": (b'{"a": 1, "a": 2}', "stands twice"),
    "huge integer": (b"1" * 5000, "5000 digits"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    "surrogate": (b'"\\ud800"', "surrogate"),
    "bytes": (b'"\xff"', "UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_result_fails_that_organization_by_name(name: str) -> None:
    body, told = BAD[name]
    journal = FakeJournal()
    state = carry_on(make(ASK), journal, answers({**GOOD, "beta": body}))
    assert state.status == "failed"
    assert state.exit_code == 1
    assert state.outputs == {}
    step = state.step("s")
    assert (step.responded, step.failed) == (["alpha", "gamma"], ["beta"])
    (failed,) = journal.of(ev.TaskFailed)
    assert failed.failure.kind == "garbage"
    assert (failed.failure.organization, failed.failure.step) == ("beta", "s")
    assert told in failed.failure.message
    assert failed.failure.log_tail == "log of beta"
    assert state.failure is not None
    assert "beta" in state.failure.message


def test_a_garbled_organization_does_not_count_for_a_quorum() -> None:
    make(ASK.replace("}}\nout", "}, quorum: 2}\nout"))
    state = carry_on(make(ASK.replace("}}\nout", "}, quorum: 2}\nout")), FakeJournal(), answers({**GOOD, "beta": b""}))
    assert state.outputs["s"] == {"alpha": 1, "gamma": 3}


def test_numbers_that_are_not_finite_pass_where_the_step_allows_them() -> None:
    text = ASK.replace("}}\nout", "}, allow_nonfinite: true}\nout")
    state = carry_on(make(text), FakeJournal(), answers({**GOOD, "beta": b"[NaN, Infinity]"}))
    assert state.status == "completed"
    assert repr(state.outputs["s"]["beta"]) == "[nan, inf]"  # type: ignore[call-overload,index]  # a mapping


def test_nonfinite_numbers_are_refused_with_the_way_to_allow_them() -> None:
    state = carry_on(make(ASK), FakeJournal(), answers({**GOOD, "beta": b"NaN"}))
    assert state.failure is not None
    assert "allow_nonfinite: true" in (state.failure.hint or "")


TEXTS = [
    "True",
    "007",
    "1_000",
    "[1,2]",
    "{{ 7*7 }}",
    "{% for x in y %}",
    "{# c #}",
    "null",
    "NaN",
    "",
    "\x1b[2J",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_results_stay_text_everywhere(text: str) -> None:
    seen: list[Any] = []

    def keep(value: str, inside: str, deep: list[Any]) -> str:
        seen.extend((value, inside, deep))
        return value

    workflow = """\
steps:
  s: {task: {method: m, organization: alpha}}
  here:
    local:
      function: f.py:keep
      kwargs: {value: "{{ steps.s.result }}", inside: "<{{ steps.s.result }}>", deep: ["{{ steps.s.result }}"]}
  t: {task: {method: m, organization: alpha, kwargs: {value: "{{ steps.here.result }}"}}}
outputs: {first: "{{ steps.s.result }}", last: "{{ steps.here.result }}", all: "{{ steps.t.result }}"}
"""
    body = json.dumps(text).encode()
    backend = answers(dict.fromkeys(ORGANIZATIONS, body))
    state = carry_on(make(workflow), FakeJournal(), backend, FakeLocal({"here": keep}))
    assert state.outputs == {"first": text, "last": text, "all": text}
    assert seen == [text, f"<{text}>", [text]]
    assert backend.submitted[1].kwargs == {"alpha": {"value": text}}


def test_the_log_of_each_organization_is_kept() -> None:
    journal = FakeJournal()
    carry_on(make(ASK), journal, answers(GOOD))
    logs = {event.organization: journal.fetch(event.log) for event in journal.of(ev.TaskAnswered)}
    assert logs == {name: f"log of {name}\n".encode() for name in ORGANIZATIONS}


# ------------------------------------------------------------------------------- a local step's odd answers


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], "\ud800"])
def test_what_is_no_result_fails_a_local_step(value: Any) -> None:
    text = "steps:\n  a: {local: {function: 'f.py:go'}}\noutputs: {a: '{{ steps.a.result }}'}\n"
    state = carry_on(make(text), FakeJournal(), local=FakeLocal({"a": lambda: value}))
    assert state.status == "failed"
    assert state.failure is not None
    assert (state.failure.kind, state.failure.step) == ("garbage", "a")


def test_a_crash_of_a_local_step_fails_it_with_its_message() -> None:
    text = "steps:\n  a: {local: {function: 'f.py:go'}}\n  b: {local: {value: '{{ steps.a.result }}'}}\n"
    state = carry_on(make(text), FakeJournal(), local=FakeLocal({"a": lambda: 1 / 0}))
    assert state.failure is not None
    assert state.failure.message == "ZeroDivisionError: division by zero"
    assert state.step("b").status == "skipped"


# ------------------------------------------------------------------------------- what stops the run for now


class OddError(Exception):
    """Nobody has mapped it."""


STOPS: list[tuple[Exception, int, str]] = [
    (AccessError("log-in refused"), 4, "access"),
    (UnreachableError("no answer"), 5, "unreachable"),
    (PersonNeededError("unknown fate"), 6, "person_needed"),
    (V6flowError("something"), 1, "error"),
    (OddError("oops"), 70, "bug"),
]


@pytest.mark.parametrize(("error", "code", "kind"), STOPS)
def test_a_broken_backend_interrupts_the_run_with_its_exit_code(error: Exception, code: int, kind: str) -> None:
    made, journal = make(ASK), FakeJournal()
    backend = FakeBackend(lambda request, again: [Broken(error)])
    state = carry_on(made, journal, backend)
    assert (state.status, state.exit_code) == ("interrupted", code)
    assert state.failure is not None
    assert state.failure.kind == kind
    assert str(error) in state.failure.message
    assert backend.closed
    assert backend.killed == [], "what has been sent goes on"
    assert carry_on(made, journal, answers(GOOD)).outputs["list"] == [1, 2, 3]


@pytest.mark.parametrize(("error", "code", "kind"), STOPS[:4])
def test_an_error_of_submit_interrupts_the_run_and_nothing_else_is_sent(error: Exception, code: int, kind: str) -> None:
    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        raise error

    made, journal = make(ASK), FakeJournal()
    backend = FakeBackend(script)
    state = carry_on(made, journal, backend)
    assert (state.status, state.exit_code) == ("interrupted", code)
    assert state.failure is not None
    assert (state.failure.kind, state.failure.message) == (kind, str(error))
    assert len(backend.submitted) == 1
    later = answers(GOOD)
    assert carry_on(made, journal, later).status == "completed"
    assert len(later.again) == 3, "all three intents were durable: what may exist is looked for"


def test_a_backend_that_cannot_be_opened_interrupts_the_run() -> None:
    class Shut(FakeBackend):
        def open(self, emit: Callable[[Report], None]) -> None:
            raise UnreachableError("nobody there", hint="try later")

    journal, backend = FakeJournal(), Shut(lambda request, again: ())
    state = carry_on(make(ASK), journal, backend)
    assert (state.status, state.exit_code) == ("interrupted", 5)
    assert state.failure is not None
    assert state.failure.hint == "try later"
    assert backend.submitted == []


def test_a_bug_in_a_backend_is_raised_and_everything_is_closed() -> None:
    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        raise OddError("oops")

    backend, local = FakeBackend(script), FakeLocal()
    with pytest.raises(OddError):
        carry_on(make(ASK), FakeJournal(), backend, local)
    assert backend.closed
    assert local.closed


@pytest.mark.parametrize(("terminate", "code"), [(False, 130), (True, 143)])
def test_an_interrupt_is_journalled_and_the_run_goes_on_later(terminate: bool, code: int) -> None:
    made, journal = make(ASK), FakeJournal()

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        if name == "gamma":
            running.interrupt(terminate=terminate)
        else:
            yield Answered(request.token, name, b"1")

    backend = FakeBackend(script)
    running = engine(made, journal, backend)
    running.run()
    state = replay(journal.events())
    assert (state.status, state.exit_code) == ("interrupted", code)
    assert state.step("s").responded == ["alpha", "beta"]
    assert backend.killed == []
    later = answers(GOOD)
    assert carry_on(made, journal, later).outputs["list"] == [1, 1, 3]
    assert [list(request.kwargs) for request in later.submitted] == [["gamma"]]


def test_what_came_in_before_an_interrupt_is_kept() -> None:
    journal = FakeJournal()
    backend = FakeBackend(lambda request, again: [Answered(request.token, "alpha", b"1")])
    running = engine(make(ASK.replace("method: m", "method: m, organizations: [alpha, beta]")), journal, backend)
    running.interrupt()
    running.run()
    assert replay(journal.events()).status == "interrupted"


def test_cancelling_kills_what_is_open_and_ends_the_run() -> None:
    text = "steps:\n  s: {task: {method: m}}\n  a: {local: {function: 'f.py:go'}}\n"
    journal, local = FakeJournal(), FakeLocal({"a": None})

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        if name == "alpha":
            yield Answered(request.token, name, b"1")
        if name == "gamma":
            running.hear(CancelRequest())
            running.hear(CancelRequest())

    backend = FakeBackend(script)
    running = engine(make(text), journal, backend, local=local)
    running.run()
    state = replay(journal.events())
    assert (state.status, state.exit_code) == ("cancelled", 1)
    assert sorted(name for _, names in backend.killed for name in names) == ["beta", "gamma"]
    assert local.killed == ["a"]
    assert len(journal.of(ev.CancelRequested)) == 1


def test_the_deadline_of_the_run_ends_it_with_124() -> None:
    clock, journal = FakeClock(), FakeJournal()

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        clock.at += 60
        return ()

    backend = FakeBackend(script)
    engine(make(ASK, deadline=1100.0), journal, backend, clock=clock).run()
    state = replay(journal.events())
    assert (state.status, state.exit_code) == ("failed", 124)
    assert len(backend.killed) == 3


# ------------------------------------------------------------------------------------------ central functions

CENTRAL = """\
steps:
  c: {task: {method: m, central: true, organization: alpha}}
outputs: {c: "{{ steps.c.result }}"}
"""
SUBTASKS = (
    Subtask("alpha", "completed"),
    Subtask("beta", "crashed", "KeyError: 'age'", "Traceback\nKeyError: 'age'"),
    Subtask("gamma", "completed"),
)


def central() -> FakeBackend:
    return FakeBackend(lambda request, again: [Answered(request.token, "alpha", b"5", "", SUBTASKS)])


def test_a_failed_subtask_fails_a_central_step_by_the_hospitals_name() -> None:
    state = carry_on(make(CENTRAL), FakeJournal(), central())
    assert (state.status, state.outputs) == ("failed", {})
    failure = state.failure
    assert failure is not None
    assert (failure.kind, failure.organization) == ("subtask_failed", "beta")
    assert "subtask at beta crashed: KeyError: 'age'" in failure.message
    assert "subtasks: partial" in (failure.hint or "")
    assert failure.log_tail.endswith("KeyError: 'age'")


def test_with_subtasks_partial_it_passes_and_its_cohort_is_who_completed() -> None:
    journal = FakeJournal()
    text = CENTRAL.replace("central: true", "central: true, subtasks: partial")
    state = carry_on(make(text), journal, central())
    assert state.outputs == {"c": 5}
    (completed,) = journal.of(ev.StepCompleted)
    assert completed.carried == (("c", ("alpha", "gamma")),)


def script_of(*reports: Dispatched | Answered | Failed) -> FakeBackend:
    """A backend that gives these reports, with the token of what was asked."""
    return FakeBackend(lambda request, again: [replace(each, token=request.token) for each in reports])


def test_a_step_that_dispatches_without_saying_so_gives_no_number() -> None:
    text = CENTRAL.replace("central: true, ", "")
    for end in (
        Answered("", "alpha", b"5", "", SUBTASKS),
        Failed("", "alpha", "crashed", "KeyError", subtasks=SUBTASKS),
    ):
        state = carry_on(make(text), FakeJournal(), script_of(end))
        failure = state.failure
        assert failure is not None
        assert (state.outputs, failure.kind, failure.organization) == ({}, "central_undeclared", "alpha")
        assert "m sent subtasks to alpha, beta, gamma" in failure.message
        assert "`central: true`" in failure.message


def test_a_step_that_is_seen_to_dispatch_without_saying_so_is_ended_at_once() -> None:
    backend = script_of(Dispatched("", "alpha", (Subtask("beta", "pending", task="1"),)))
    state = carry_on(make(CENTRAL.replace("central: true, ", "")), FakeJournal(), backend)
    assert state.failure is not None
    assert state.failure.kind == "central_undeclared"
    assert [organizations for _, organizations in backend.killed] == [("alpha",)]


def test_a_central_function_that_dies_of_a_subtask_tells_that_first() -> None:
    state = carry_on(
        make(CENTRAL), FakeJournal(), script_of(Failed("", "alpha", "crashed", "ZeroDivisionError", subtasks=SUBTASKS))
    )
    failure = state.failure
    assert failure is not None
    assert (failure.kind, failure.organization) == ("crashed", "beta")
    assert failure.message == (
        "the subtask at beta crashed: KeyError: 'age'; the central function at alpha then failed: ZeroDivisionError"
    )
    assert failure.log_tail.endswith("KeyError: 'age'")
    assert state.step("c").failed == ["beta"]


@pytest.mark.parametrize(
    "subtask", [Subtask("beta", "killed by user", task="1", consequence=True), Subtask("beta", "pending", task="1")]
)
def test_what_only_followed_from_its_end_is_not_the_cause(subtask: Subtask) -> None:
    failed = Failed("", "alpha", "crashed", "ValueError", subtasks=(subtask,))
    failure = carry_on(make(CENTRAL), FakeJournal(), script_of(failed)).failure
    assert failure is not None
    assert failure.organization == "alpha"
    assert failure.message.startswith("alpha crashed: ValueError")


def test_what_is_seen_of_subtasks_is_journalled_once_with_their_logs() -> None:
    journal = FakeJournal()
    asked = Subtask("beta", "pending", task="1")
    done = Subtask("beta", "completed", task="1", log="said")
    state = carry_on(make(CENTRAL), journal, script_of(
        Dispatched("", "alpha", (asked,)), Dispatched("", "alpha", (replace(asked, status="active"),)),
        Dispatched("", "alpha", (done,)), Dispatched("", "alpha", (done,)), Answered("", "alpha", b"5", "", (done,))
    ))  # fmt: skip
    seen = journal.of(ev.SubtasksSeen)
    assert [each.subtasks[0].status for each in seen] == ["pending", "completed"]
    digest = seen[1].subtasks[0].log
    assert digest is not None
    assert journal.fetch(digest) == b"said"
    assert state.step("c").organizations["alpha"].subtasks[0].log == digest


def test_what_subtasks_print_is_kept_nowhere_where_a_result_may_be_refused() -> None:
    journal = FakeJournal()
    lost = Subtask("beta", "crashed", "4711 rows", "4711", task="1", log="4711")
    text = """
steps:
  c:
    task: {method: m, central: true, organization: alpha, subtasks: partial}
    disclosure: {min_count: 9}
"""
    backend = script_of(Dispatched("", "alpha", (lost,)), Answered("", "alpha", b'{"count": 1}', "4711", (lost,)))
    state = carry_on(make(text), journal, backend)
    assert state.failure is not None
    assert state.failure.kind == "disclosure"
    assert "4711" not in repr(list(journal.events()))
    assert state.step("c").failed == ["beta"]


# -------------------------------------------------------------------------------------------------- reporters


class Angry:
    """A reporter that always raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.told = 0

    def begin(self, plan: Plan, state: RunState) -> None:
        self._fail()

    def event(self, event: Event, state: RunState) -> None:
        self._fail()

    def end(self, state: RunState) -> None:
        self._fail()

    def _fail(self) -> None:
        self.told += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left"), ValueError("closed"), KeyError("x")]
)
def test_what_a_reporter_raises_does_not_stop_a_run(error: Exception) -> None:
    journal, angry = FakeJournal(), Angry(error)
    engine(make(ASK), journal, answers(GOOD), reporter=angry).run()
    assert replay(journal.events()).status == "completed"
    assert angry.told > 5


def test_a_reporter_sees_an_event_when_it_is_written_and_applied() -> None:
    journal = FakeJournal()

    class Looks(Angry):
        def event(self, event: Event, state: RunState) -> None:
            self.told += 1
            assert event in list(journal.events())
            seen.append((type(event).__name__, state.status))

    seen: list[tuple[str, str]] = []
    engine(make(ASK), journal, answers(GOOD), reporter=Looks(OSError())).run()
    assert seen[-1] == ("RunCompleted", "completed")
    assert len(seen) == len(list(journal.events())) - 1


def test_the_state_is_always_the_replay_of_the_journal() -> None:
    journal = FakeJournal()
    state = begun(journal)
    engine(make(CHAIN), journal, answers(GOOD), state=state, local=FakeLocal({"mean": mean})).run()
    assert state == replay(journal.events())


def test_letting_go_with_a_kill_journals_it_before_it_kills() -> None:
    made, journal = make(ASK), FakeJournal()

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        if name == "gamma":
            running.interrupt(kill=True)
        else:
            yield Answered(request.token, name, b"1")

    backend = FakeBackend(script)
    running = engine(made, journal, backend)
    running.run()
    state = replay(journal.events())
    assert (state.status, state.exit_code) == ("interrupted", 130)
    assert [names for _, names in backend.killed] == [("gamma",)]
    assert [type(event) for event in journal.events()][-2:] == [ev.TaskWithdrawn, ev.RunInterrupted]

    def killed(request: TaskRequest, again: bool) -> Iterable[Report]:
        if again:
            yield Failed(request.token, "gamma", "killed", "somebody killed it at the server")
            yield Accepted(request.token, "task 3")
        else:
            yield Answered(request.token, "gamma", b"3")

    later = FakeBackend(killed)
    assert carry_on(made, journal, later).outputs["list"] == [1, 1, 3]
    assert [request.attempt for request in later.submitted] == [1, 2]


def test_notes_are_kept_also_those_that_come_while_closing() -> None:
    journal = FakeJournal()
    backend = answers(GOOD)
    close = backend.close

    def closing() -> None:
        if not backend.closed:
            assert backend._emit is not None
            backend._emit(Remarked("task 3 could not be killed"))
        close()

    backend.close = closing  # type: ignore[method-assign]
    running = engine(make(ASK), journal, backend)
    running.note("gamma is slow today")
    running.run()
    assert [event.message for event in journal.of(ev.Noted)] == ["gamma is slow today", "task 3 could not be killed"]
    assert replay(journal.events()).status == "completed"


def test_at_a_deadline_what_is_there_is_taken_in_first() -> None:
    clock, journal = FakeClock(), FakeJournal()
    made = make(ASK.replace("{task: {method: m}}", "{task: {method: m}, timeout: 1m}"))

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        (name,) = request.kwargs
        backend.found_late[request.token] = (Answered(request.token, name, b"1"), Looked(request.token))
        if name == "gamma":
            clock.at += 61
        yield Accepted(request.token, "task 1")

    backend = FakeBackend(script)
    engine(made, journal, backend, clock=clock).run()
    assert replay(journal.events()).outputs["list"] == [1, 1, 1]
    assert len(backend.looked) == 3
    assert backend.killed == []


def test_a_deadline_that_passes_while_the_server_is_away_interrupts_the_run() -> None:
    clock, journal = FakeClock(), FakeJournal()
    made = make(ASK.replace("{task: {method: m}}", "{task: {method: m}, timeout: 1m}"))

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        backend.found_late[request.token] = (Broken(UnreachableError("the server is away")),)
        clock.at += 61
        return ()

    backend = FakeBackend(script)
    engine(made, journal, backend, clock=clock).run()
    state = replay(journal.events())
    assert (state.status, state.exit_code) == ("interrupted", 5)
    assert state.step("s").status == "running", "the step has not failed"
    assert backend.killed == []


def test_a_central_function_whose_subtasks_are_hidden_is_not_believed() -> None:
    text = """
steps:
  c:
    task: {method: m, central: true, organization: alpha}
outputs: {o: "{{ steps.c.result }}"}
"""

    def script(request: TaskRequest, again: bool) -> Iterable[Report]:
        yield Accepted(request.token, "task 1")
        yield Answered(request.token, "alpha", b"1", hidden=True)

    state = carry_on(make(text), FakeJournal(), FakeBackend(script))
    assert state.status == "failed"
    assert state.failure is not None
    assert (state.failure.kind, state.failure.organization) == ("subtasks_hidden", "alpha")
    partial = text.replace("central: true,", "central: true, subtasks: partial,")
    state = carry_on(make(partial), FakeJournal(), FakeBackend(script))
    assert state.outputs == {"o": 1}


# ------------------------------------------------------------------------------------------- results of earlier runs


class FakeResults:
    """Results of earlier runs, the same for each step; remembers what was looked for and kept."""

    basis = Basis()

    def __init__(self, found: Kept | str, said: str | None = None) -> None:
        self._found = found
        self._said = said
        self.longest: list[float] = []
        self.kept: list[tuple[str, float]] = []

    def find(self, step: str, key: Key, longest: float, now: float) -> Kept | str:
        self.longest.append(longest)
        return self._found

    def keep(self, step: str, key: Key, ended: float) -> str | None:
        self.kept.append((step, ended))
        return self._said


CACHED = ASK.replace("{method: m}}", "{method: m}, cache: 2h}")


def test_what_an_earlier_run_has_is_taken_from_there() -> None:
    results = FakeResults(Kept("w-0", "s", 900.0, 900.0, answers={name: ReusableAnswer(7) for name in ORGANIZATIONS}))
    journal, backend = FakeJournal(), answers(GOOD)
    engine(make(CACHED), journal, backend, results=results).run()
    assert backend.submitted == []
    assert replay(journal.events()).outputs["list"] == [7, 7, 7]
    assert (results.longest, results.kept) == ([7200.0], [])


def test_what_is_answered_is_kept_for_later_runs() -> None:
    results, journal = FakeResults("there is none"), FakeJournal()
    engine(make(CACHED), journal, answers(GOOD), results=results).run()
    assert results.kept == [("s", 1000.0)]
    kinds = [kind for kinds, _ in journal.writes for kind in kinds]
    assert "StepNotReused" in kinds


def test_what_cannot_be_kept_is_told() -> None:
    journal = FakeJournal()
    engine(make(CACHED), journal, answers(GOOD), results=FakeResults("there is none", "no space")).run()
    (note,) = journal.of(ev.Noted)
    assert note.message == "what s has completed with is not kept for later runs: no space"
    assert replay(journal.events()).status == "completed"
