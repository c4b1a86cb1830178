"""What is bound to mix cohorts is told of when the file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from driver import Driver

from v6flow.core import reading
from v6flow.core.checks import soundness
from v6flow.core.directory import Directory
from v6flow.core.language import document
from v6flow.core.planning import planner

if TYPE_CHECKING:
    from v6flow.core.language.model import Workflow

STEPS = """v6flow: 1
steps:
  all: {task: {method: m}}
  most: {task: {method: m}, quorum: 2}
  share: {task: {method: m}, quorum: {min: "80%", required: [alpha]}}
  patient: {task: {method: m}, quorum: {wait: quorum}}
  two: {task: {method: m, organizations: [alpha, beta]}}
  turned: {task: {method: m, organizations: [beta, alpha]}}
  three: {task: {method: m, organizations: [alpha, beta, gamma]}, quorum: 2}
  one: {task: {method: m, organization: alpha}}
  central: {task: {method: m, organization: alpha, central: true}}
  study: {task: {method: m, study: s}}
  later: {task: {method: m, organizations: "{{ [steps.two.responded[0]] }}"}}
  after: {task: {method: m, organizations: "{{ steps.two.responded }}"}}
  n: {local: {value: "{{ steps.most.results | sum }}"}}
  both: {local: {value: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}, mixed_cohorts: gamma came later}
"""


def warnings(text: str) -> list[str]:
    found = soundness.check(reading.parse(document.parse(STEPS + text, "w.yaml")))
    assert all(each.severity == "warning" and each.rule == "cohorts-mix" for each in found), found
    return [each.message for each in found]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('outputs: {o: "{{ [steps.two.results, steps.three.results] }}"}', "output o would mix"),
        ('outputs: {o: {a: "{{ steps.two.results }}", b: "{{ steps.one.result }}"}}', "alpha, beta; one asks alpha"),
        ('  x: {local: {value: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}}', "step x would mix"),
        (
            '  x: {local: {function: "f:f", kwargs: {a: "{{ steps.two.results }}", b: "{{ steps.three.results }}"}}}',
            "step x would mix",
        ),
        (
            '  x: {task: {method: m, kwargs: {a: "{{ sum(steps.two.results) + sum(steps.three.results) }}"}}}',
            "step x would mix",
        ),
        ('  x: {task: {method: m, kwargs: {a: "{{ steps.n.result }}"}}}', "step x asks all again"),
        ('  x: {task: {method: m, kwargs: {a: "{{ sum(steps.share.results) }}"}}}', "step x asks all again"),
        (
            """
  x: {task: {method: m, organizations: [gamma, beta, alpha], kwargs: {a: "{{ sum(steps.three.results) }}"}}}""",
            "step x asks the same list again",
        ),
        (
            '  x: {task: {method: m, organizations: [alpha, gamma], kwargs: {a: "{{ sum(steps.two.results) }}"}}}',
            "step x asks alpha, gamma, and is sent what other organizations answered: two asks alpha, beta",
        ),
        ('outputs: {o: "{{ [steps.both.result, steps.one.result] }}"}', "output o would mix"),
    ],
)
def test_what_will_mix_is_told(text: str, told: str) -> None:
    (message,) = warnings(text)
    assert told in message


@pytest.mark.parametrize(
    "text",
    [
        'outputs: {o: "{{ [steps.two.results, steps.turned.results, steps.after.results] }}"}',
        'outputs: {o: {value: "{{ [steps.two.results, steps.three.results] }}", mixed_cohorts: so}}',
        'outputs: {o: "{{ [steps.two.results, steps.three.responded, steps.three.failures] }}"}',
        'outputs: {o: "{{ [steps.two.results, steps.all.results, steps.central.result, steps.later.results] }}"}',
        'outputs: {a: "{{ steps.two.results }}", b: "{{ steps.three.results }}"}',
        'outputs: {o: "{{ steps.both.result }}", p: "{{ [steps.both.result, steps.two.results] }}"}',
        '  x: {task: {method: m, organizations: "{{ steps.most.responded }}", kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, kwargs: {a: "{{ steps.n.result }}"}}, mixed_cohorts: so}',
        '  x: {task: {method: m, kwargs: {a: "{{ sum(steps.all.results) + sum(steps.patient.results) }}"}}}',
        '  x: {task: {method: m, organization: alpha, central: true, kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, study: s, kwargs: {a: "{{ steps.n.result }}"}}}',
        '  x: {task: {method: m, kwargs: {a: "{{ steps.most.responded }}"}}}',
    ],
)
def test_what_may_go_well_is_not_told(text: str) -> None:
    assert warnings(text) == []


def test_the_place_and_the_remedy() -> None:
    text = STEPS + '  x: {task: {method: m, kwargs: {a: 1, b: "{{ steps.n.result }}"}}}\n'
    (found,) = soundness.warnings(reading.parse(document.parse(text, "w.yaml")))
    line = text.splitlines()[found.position.line - 1]
    assert line[found.position.column - 1 :].startswith("result }}")
    assert found.hint == 'write organizations: "{{ steps.most.responded }}", or say mixed_cohorts: <reason>'


# -- rounds, items, studies, other files: what is told is what happens when all answer

FEDERATION = Directory(
    ("alpha", "beta", "gamma"),
    defaults={"image": "i"},
    studies={"north": ("alpha", "beta"), "south": ("gamma",), "upper": ("beta", "alpha")},
)


def read(text: str) -> Workflow:
    return reading.parse(document.parse("v6flow: 1\nsteps:\n" + text, "w.yaml"))


def told(text: str, directory: Directory | None = FEDERATION) -> list[str]:
    """What is told of steps and outputs that would mix, as far as the hint."""
    workflow = read(text)
    assert not [each for each in soundness.check(workflow) if each.severity == "error"]
    return [each.message for each in soundness.warnings(workflow, directory)]


def becomes(text: str) -> str:
    """What becomes of the run if all answer: `completed`, or the kind of the failure."""
    run = Driver(planner.make(read(text), {}, FEDERATION, run="r-1"))
    while run.state.status == "running":
        for step, organization in [*run.requests]:
            run.answer(step, organization)
    return "completed" if run.state.failure is None else run.state.failure.kind


TWO = "  two: {task: {method: m, organizations: [alpha, beta]}}\n"
LOOP = """\
  fit:
    repeat:
      state: "{{ <state> }}"
      max: 3
      on_max: continue
      cohort: <cohort>
      steps:
        a: {task: {method: m, organizations: [alpha, beta], kwargs: {x: "{{ <a> }}"}}}
        b: {task: {method: m, kwargs: {x: "{{ <b> }}"}}}
      update: "{{ <update> }}"
"""


def loop(state: str = "0", a: str = "0", b: str = "0", update: str = "0", cohort: str = "fixed", more: str = "") -> str:
    text = LOOP
    for word, given in {"state": state, "cohort": cohort, "a": a, "b": b, "update": update}.items():
        text = text.replace(f"<{word}>", given)
    return TWO + text + more


SUM = "sum(steps.two.results)"
STATE = "loop.state"
OUT = "outputs: {o: '{{ steps.fit.result }}'}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (loop(SUM, b=STATE), "step fit.b asks alpha, beta, gamma, and is sent what other organizations answered"),
        (loop(SUM, b=STATE, cohort="any"), "step fit.b asks alpha, beta, gamma, and is sent"),
        (loop(SUM, a=STATE, update="loop.state + sum(steps.b.results)"), "step fit would mix"),
        (loop(update="sum(steps.a.results) + sum(steps.b.results)"), "step fit would mix"),
        (loop(b=STATE, update="sum(steps.a.results)"), "step fit.b asks alpha, beta, gamma, and is sent"),
        (TWO + "  g: {task: {method: m}}\n" + loop(update="sum(steps.a.results)").removeprefix(TWO) +
            "outputs: {o: '{{ [steps.fit.result, steps.g.results] }}'}\n", "output o would mix answers of different"),
        (TWO + """\
  tab:
    foreach:
      over: "{{ steps.two.results }}"
      steps: {a: {task: {method: m, kwargs: {x: "{{ each.item }}"}}, allow_cross_site: a test}}
""", "step tab.a asks alpha, beta, gamma, and is sent what"),
        (TWO + """\
  tab:
    foreach:
      over: "{{ steps.two.results }}"
      steps: {a: {task: {method: m}}}
      result: "{{ sum(steps.a.results) }}"
""", "step tab would mix answers of different cohorts: two asks alpha, beta; tab.a asks alpha, beta, gamma"),
        (TWO + """\
  tab:
    foreach:
      over: [1, 2]
      steps: {a: {task: {method: m}}}
      result: "{{ sum(steps.a.results) }}"
  out: {local: {value: "{{ [sum(steps.tab.results), sum(steps.two.results)] }}"}}
""", "step out would mix"),
        ("""\
  n: {task: {method: m, study: north}}
  s: {task: {method: m, study: south, kwargs: {x: "{{ sum(steps.n.results) }}"}}}
""", "step s asks gamma, and is sent what other organizations answered: n asks alpha, beta"),
        ("""\
  n: {task: {method: m, study: north}}
  fit:
    repeat:
      as: round
      state: "{{ sum(steps.n.results) }}"
      max: 2
      on_max: continue
      steps:
        tab:
          foreach:
            over: [1]
            steps: {s: {task: {method: m, study: south, kwargs: {x: "{{ loop.round.state }}"}}}}
      update: "{{ loop.state }}"
""", "step fit.tab.s asks gamma, and is sent what other organizations answered: n asks alpha, beta"),
    ],
)  # fmt: skip
def test_what_is_told_of_rounds_items_and_studies_happens(text: str, message: str) -> None:
    (found,) = told(text)
    assert found.startswith(message)
    assert becomes(text) == "cohorts"


@pytest.mark.parametrize(
    "text",
    [
        loop(SUM, a=STATE, update="sum(steps.a.results)", more=OUT),
        loop(SUM, b="loop.index", update="sum(steps.b.results)", more=OUT),
        loop(b=STATE, update="sum(steps.a.results)", cohort="any", more=OUT),
        loop(b=STATE, update="sum(steps.a.results)", cohort="shrink", more=OUT),
        loop(update="loop.state + sum(steps.b.results)", b=STATE, more=OUT),
        loop(SUM, a=STATE, update="sum(steps.a.results) + loop.index", more=OUT),
        loop(b=STATE, update="sum(steps.a.results)").replace("max: 3", "max: 1"),
        loop(update="sum(steps.a.results) + sum(steps.b.results)", more=OUT).replace(
            "  fit:", "  fit:\n    mixed_cohorts: so"
        ),
        TWO + """\
  tab:
    foreach:
      over: "{{ steps.two.results }}"
      steps: {a: {task: {method: m, organizations: [beta, alpha]}}}
      result: "{{ sum(steps.a.results) }}"
""",
        TWO + """\
  tab:
    foreach:
      over: "{{ steps.two.responded }}"
      as: who
      steps: {a: {task: {method: m, kwargs: {x: "{{ each.who }}"}}}}
      result: "{{ sum(steps.a.results) }}"
""",
        TWO + """\
  tab:
    foreach:
      over: "{{ steps.two.results }}"
      steps: {a: {task: {method: m, kwargs: {x: "{{ each.index }}"}}}}
""",
        """\
  n: {task: {method: m, study: north}}
  u: {task: {method: m, study: upper, kwargs: {x: "{{ sum(steps.n.results) }}"}}}
""",
    ],
)  # fmt: skip
def test_of_what_goes_well_nothing_is_told(text: str) -> None:
    assert told(text) == []
    assert becomes(text) == "completed"


def test_who_answered_the_first_round_is_who_is_asked_in_the_next() -> None:
    quorum = loop(b="steps.c.result", update="loop.state + sum(steps.b.results)", more=OUT).replace(
        "        b: {task:", "        c: {local: {value: '{{ loop.state }}'}}\n        b: {quorum: 2, task:"
    )
    assert told(quorum) == []
    again = quorum.replace("outputs:", "  x: {task: {method: m, kwargs: {s: '{{ steps.fit.result }}'}}}\noutputs:")
    (found,) = soundness.warnings(read(again))
    assert found.message.startswith("step x asks all again, though not all need have answered fit.b")
    assert found.hint == 'write organizations: "{{ steps.fit.responded }}", or say mixed_cohorts: <reason>'


def test_without_a_federation_nothing_is_said_of_who_is_in_a_study() -> None:
    text = """\
  n: {task: {method: m, study: north}, quorum: 1}
  s: {task: {method: m, study: south, kwargs: {x: "{{ sum(steps.n.results) }}"}}}
  a: {task: {method: m, kwargs: {x: "{{ sum(steps.n.results) }}"}}}
  t: {task: {method: m, study: north, kwargs: {x: "{{ sum(steps.n.results) }}"}}}
"""
    (found,) = told(text, None)
    assert found.startswith("step t asks all of the study north again, though not all need have answered n")
    assert [each.split(",")[0] for each in told(text)] == [
        "step s asks gamma",
        "step a asks alpha",
        "step t asks all of the study north again",
    ]


def test_a_federation_may_say_whom_a_step_asks_that_names_nobody() -> None:
    text = TWO + "  a: {task: {method: m, kwargs: {x: '{{ sum(steps.two.results) }}'}}}\n"
    assert told(text) != []
    assert told(text, None) == []
    assert told(text, Directory(("alpha", "beta", "gamma"), defaults={"organizations": ["beta", "alpha"]})) == []


def test_what_mixes_in_a_file_that_is_run_is_told_with_its_place() -> None:
    mixing = STEPS + '  x: {task: {method: m, kwargs: {a: "{{ steps.n.result }}"}}}\n'
    inner = reading.parse(document.parse(mixing, "inner.yaml"))
    text = "v6flow: 1\nsteps: {a: {workflow: {file: inner.yaml}}, b: {workflow: {file: inner.yaml}}}"
    (found,) = soundness.warnings(reading.parse(document.parse(text, "w.yaml"), files={"inner.yaml": inner}))
    assert (found.file, found.message.startswith("step x asks all again")) == ("inner.yaml", True)
