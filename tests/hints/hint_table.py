"""The table of all hints: a case that follows each which shows a text to write, and why the others show none.

A new hint goes into one of three places, by the text that the test prints: REMEDIES, with a case that provokes and
follows it; COMMANDS, if all that it shows is a command of v6flow, which every test of commands then parses; or ADVICE.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from hint_cases import Expression, File, Line, Trial
from hint_log_ins import LogIn

if TYPE_CHECKING:
    from hint_cases import Case

# ------------------------------------------------------------------------------------------------------- workflows

HEAD = "v6flow: 1\nname: w\n"
ONE = "  one: {local: {value: 1}}\n"
OUT = 'outputs: {o: "{{ steps.one.result }}"}\n'
TASK = "{task: {method: m, image: i}, timeout: 2h}"
DESCRIBED = "{type: integer, default: 1, description: A number}"


def local(text: str) -> str:
    """A workflow with a step that computes a value, written as it would be in a file."""
    return f"{HEAD}params: {{n: {DESCRIBED}}}\nsteps:\n{ONE}  two: {{local: {{value: {text}}}}}\n"


def step(text: str) -> str:
    """A workflow with one more step, and those that it may use."""
    return f"{HEAD}params: {{n: {DESCRIBED}}}\nsteps:\n{ONE}  many: {TASK}\n  two: {text}\n"


def federation(text: str) -> str:
    return f"v6flow_federation: 1\n{text}"


EMBEDDED = "backend: embedded\ncollaboration: c\norganizations: {alpha: {}, beta: {}}\n"
TESTED = {"v.yaml": f"{HEAD}steps:\n  p: {{task: {{method: m, image: i}}}}\n  g: {{gate: {{message: Go on?}}}}\n"}
TEST = "v6flow_test: 1\nworkflow: v.yaml\norganizations: [alpha, beta]\n"

UNTIMED = (
    f"{HEAD}steps:\n  p: {{task: {{method: m, image: 'i:1'}}}}\n"
    "  s: {local: {value: \"{{ sum(steps.p.results, attribute='n') }}\"}}\noutputs: {s: '{{ steps.s.result }}'}\n"
)
ASKED = "}, timeout: 2h}\n  s2"
PASSES = (
    f"{HEAD}defaults: {{image: 'i:1', timeout: 2h}}\nsteps:\n  p: {{task: {{method: m}}, quorum: {{min: 1}}}}\n"
    "  s: {local: {value: \"{{ sum(steps.p.results, attribute='n') }}\"}}\n"
    "  q: {task: {method: m, kwargs: {mean: '{{ steps.s.result }}'}}, timeout: 2h}\n"
    "  s2: {local: {value: \"{{ sum(steps.q.results, attribute='n') }}\"}}\noutputs: {s: '{{ steps.s2.result }}'}\n"
)


MIXED = (
    f"{HEAD}defaults: {{image: i}}\nsteps:\n  p: {{task: {{method: m}}, quorum: 2}}\n"
    "  s: {local: {value: '{{ steps.p.results | mean }}'}}\n"
    "  q: {task: {method: m, kwargs: {mean: '{{ steps.s.result }}'}}}\noutputs: {q: '{{ steps.q.results }}'}\n"
)
TWO_COHORTS = (
    f"{HEAD}defaults: {{image: i}}\nsteps:\n  p: {{task: {{method: m, organizations: [a, b]}}}}\n"
    "  q: {task: {method: m, organizations: [a, b, c]}}\noutputs: {both: '{{ [steps.p.results, steps.q.results] }}'}\n"
)


def _converted(value: str, shown: str, new: str = "%s{0}") -> Trial:
    """A function whose value is no JSON, and how it is returned instead: written in a text that it evaluates."""
    program = "import numpy\nimport pandas\n\n\ndef f(text):\n    return eval(text)\n"
    text = HEAD + "steps: {one: {local: {function: 'f.py:f', kwargs: {text: '" + value + "'}}}}\n"
    return Trial(text, value, shown, new % value, files={"f.py": program})


def commanded(words: str, more: str = "") -> str:
    """A workflow with a step that runs a command."""
    return f"{HEAD}params: {{n: {DESCRIBED}}}\nsteps:\n  one: {{local: {{command: {words}{more}}}}}\n"


def coded(program: str, code: str, shown: str = r"as in command: (\[.*?\]); or") -> File:
    """A command with an expression in its code, and the one that is printed, which is run if the program is here."""
    words = f"[{program}, {code}]"
    return File(commanded(words), words, shown, kind="ran" if shutil.which(program) else "workflow")


def dashed(words: str) -> str:
    """A workflow of which a step passes the value of another one to a command."""
    return (
        f"{HEAD}steps:\n  one: {{local: {{value: '-1'}}}}\n  two: {{local: {{command: {words}}}}}\n"
        'outputs: {o: "{{ steps.two.result }}"}\n'
    )


def block(text: str) -> str:
    """A workflow with a value on a line of its own."""
    return f"{HEAD}steps:\n  one:\n    local:\n      value: {text}\n"


CROSS = (
    f"{HEAD}defaults: {{image: i}}\nsteps:\n  p: {{task: {{method: m}}}}\n"
    "  q: {task: {method: m, kwargs: {a: '{{ steps.p.results[0] }}'}}}\n"
)
SECOND = (
    f"{HEAD}defaults: {{image: i}}\nsteps:\n  p: {{task: {{method: m}}, quorum: {{min: 1}}, on_failure: continue}}\n"
    "  q: {task: {method: m, kwargs: {a: '{{ sum(steps.p.results) }}'}}}\n"
)
SOME = "{p: {alpha: {value: 1}, beta: {crash: x}}, q: {default: {value: 1}}}"
SHRINKING = (
    f"{HEAD}steps:\n  fit:\n    repeat:\n"
    "      {state: [alpha, beta], update: [alpha], on_max: continue, max: 2,\n"
    "       steps: {p: {task: {method: m, image: i, organizations: '{{ loop.state }}'}}}}\n"
)
SHRUNK = "{fit.p: {default: {value: 1}}}"
ROUNDS = (
    f"{HEAD}steps: {{fit: {{repeat: {{state: 1, update: 1, on_max: continue, max: 2, "
    "steps: {p: {task: {method: m, image: i}}}}}}\n"
)
UNENDING = (
    f"{HEAD}steps: {{fit: {{repeat: {{state: 0, update: '{{{{ loop.state + 1 }}}}', "
    "until: '{{ loop.next > 5 }}', max: 3, steps: {a: {local: {value: 1}}}}}}\n"
)
ECHO = f"{HEAD}steps: {{one: {{local: {{command: [echo, '{{{{ [1, 2] }}}}']}}}}}}\n"
SCRIPT = f"{HEAD}steps: {{one: {{local: {{command: [run.sh]}}}}}}\n"
SOUND = {
    "w.yaml": f"{HEAD}params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: '{{{{ params.n }}}}'}}}}}}\n" + OUT
}
NEEDY = {"w.yaml": SOUND["w.yaml"].replace("default: 1, ", "")}
SLOPPY = {"w.yaml": SOUND["w.yaml"].replace(OUT, "")}
GATED = {"w.yaml": f"{HEAD}steps: {{g: {{gate: {{message: Go on?}}}}}}\n"}
BROKEN = {
    "my flow.yaml": f"{HEAD}federation: fed.yaml\nsteps: {{p: {{task: {{method: m, image: i}}}}}}\n",
    "fed.yaml": "v6flow_federation: 1\nbackend: embedded\ncollaboration: c\norganizations: {alpha: {}}\n"
    "algorithms: {i: {package: nothing_like_it, path: .}}\n",
}
DECIDED = {"w.test.yaml": "v6flow_test: 1\nworkflow: w.yaml\ncases: {c: {expect: {status: completed}}}\n"}
ROUND_OF_GATES = (
    f"{HEAD}steps: {{fit: {{repeat: {{state: 1, update: 1, on_max: continue, max: 1, "
    "steps: {g: {gate: {message: Go on?}}}}}}\n"
)
APPROVERS = {"a.yaml": f"{HEAD}steps: {{g: {{gate: {{message: Go on?, approvers: [ann, bob]}}}}}}\n"}
APPROVED = "v6flow_test: 1\nworkflow: a.yaml\ncases: {c: {decisions: {g: {decision: approve, by: carol}}}}\n"


CONVERGING = (
    f"{HEAD}steps: {{fit: {{repeat: {{state: 0, update: '{{{{ steps.a.result }}}}', until: '{{{{ loop.next > 5 }}}}', "
    "max: 3, on_max: continue, steps: {a: {local: {value: '{{ loop.state + 1 }}'}}}}}}\n"
    "outputs: {o: '{{ steps.fit.result }}'}\n"
)
CONVERGING_INSIDE = (
    f"{HEAD}steps:\n  table:\n    foreach:\n      over: [1, 2]\n      steps:\n"
    "        fit: {repeat: {state: 0, update: '{{ steps.a.result }}', until: '{{ loop.next > 5 }}', max: 3, "
    "on_max: continue, steps: {a: {local: {value: '{{ loop.state + 1 }}'}}}}}\n"
    "      result: {state: '{{ steps.fit.result }}'}\noutputs: {o: '{{ steps.table.results }}'}\n"
)
CLIENT = "from vantage6.algorithm.tools.decorators import algorithm_client\n\n\n"
DISPATCHING = {
    "w.yaml": f"{HEAD}federation: fed.yaml\ndefaults: {{image: i}}\nsteps:\n"
    "  p: {task: {method: total, databases: [], organization: alpha}}\n",
    "fed.yaml": federation(EMBEDDED + "algorithms: {i: {package: alg, path: .}}\n"),
    "alg.py": CLIENT + "def part():\n    return 1\n\n\n@algorithm_client\ndef total(client):\n"
    "    create = getattr(client.task, 'create')\n"
    "    ids = [each['id'] for each in client.organization.list()]\n"
    "    task = create(input_={'method': 'part'}, organizations=ids, name='n', description='d')\n"
    "    return sum(client.wait_for_results(task_id=task['id']))\n",
}
COUNTED = {
    "w.yaml": f"{HEAD}federation: fed.yaml\nsteps:\n"
    "  p: {task: {method: m, image: i, databases: [], organization: alpha}}\n",
    "fed.yaml": federation(EMBEDDED + "policy: {min_count: 5}\nalgorithms: {i: {package: alg, path: .}}\n"),
    "alg.py": "def m():\n    return {'n': 9}\n",
}


def loop(text: str, more: str = "") -> str:
    """A workflow with a step that iterates; `text` is what each round computes."""
    inner = f"{{a: {{local: {{value: {text}}}}}}}"
    return step(f"{{repeat: {{{more}state: 1, steps: {inner}, update: 1, max: 3, on_max: continue}}}}")


_NEAR = r"did you mean ([\w.]+)\?"
_EXACT = r"put quotes around it: (\S.*?)(?:\)| \[|$)"

REMEDIES: dict[str, Case | LogIn | tuple[Case | LogIn, ...]] = {
    # ------------------------------------------------------------------------------------------- expressions: signs
    "write straight quotes": Expression("{{ “a” }}", "{{ 'a' }}", "a"),
    "a text ends with the quote that begins it": Expression("{{ 'a }}", "{{ 'a' }}", "a"),
    "write and": Expression("{{ params.yes && true }}", "{{ params.yes {0} true }}", True, r"write (and)"),
    "write not, or !=": (
        Expression("{{ !params.yes }}", "{{ {0} params.yes }}", False, r"write (not)"),
        Expression("{{ 1 ! 2 }}", "{{ 1 {0} 2 }}", True, r"or (!=)"),
    ),
    "write a if b else c": Expression("{{ params.yes ? 1 : 2 }}", "{{ 1 if params.yes else 2 }}", 1),
    "write ** for a power": Expression("{{ params.two ^ 3 }}", "{{ params.two {0} 3 }}", 8, r"write (\*\*)"),
    "a param is params.NAME": Expression("{{ $one }}", "{{ {0}one }}", 1, r"is (params\.)NAME"),
    "one expression in one {{ … }}": Expression("{{ params.one; params.two }}", "{{ params.one }}", 1),
    "write [{}]": (
        Expression("{{ params.list.0 }}", "{{ params.list{0} }}", 3, r"write (\[0\])"),
        File(
            step("{task: {method: m, image: i, organizations: alpha}}"),
            "organizations: alpha",
            r"write (\[alpha\])",
            "organizations: {0}",
        ),
    ),
    'write ["{}"]': File(step('{task: {method: m, image: i, organizations: "12"}}'), '"12"', r"write (\[.*?\])"),
    "leave a space between the braces and a sign": Expression("{{-params.one }}", "{{ -params.one }}", -1),
    "say by brackets what it takes: (a {} b) {} …, or a {} (b {} …)": (
        Expression("{{ params.one - params.two | abs }}", "{{ (params.one - params.two) | abs }}", 1),
        Expression("{{ params.one - params.two | abs }}", "{{ params.one - (params.two | abs) }}", -1),
    ),
    "write \\\\ for a backslash itself": Expression("{{ 'a\\d' }}", "{{ 'a{0}d' }}", "a\\d", r"write (\\\\) for"),
    "write ~ between them to join them, or a comma": Expression(
        "{{ 'a' 'b' }}", "{{ 'a' {0} 'b' }}", "ab", "write (~)"
    ),
    "say by brackets which comes first: a ** (b ** c)": Expression("{{ 2 ** 3 ** 2 }}", "{{ 2 ** (3 ** 2) }}", 512),
    "write (-a) ** b, or -(a ** b)": (
        Expression("{{ -2 ** 2 }}", "{{ (-2) ** 2 }}", 4),
        Expression("{{ -2 ** 2 }}", "{{ -(2 ** 2) }}", -4),
    ),
    "close it with }}, or write {{ '{{' }} for the braces themselves": (
        Expression("{{ params.one", "{{ params.one {0}", 1, r"close it with (}}),"),
        Expression("a {{ b", "a {0} b", "a {{ b", r"write ({{ '{{' }}) for"),
    ),
    "write {{ '{}' }} for the characters themselves": (
        Expression("a }} b", "a {0} b", "a }} b", r"write ({{ '}}' }}) for"),
        Expression("a {% b", "a {0} b", "a {% b", r"write ({{ '.*?' }}) for"),
    ),
    "put quotes around a text, and write a number plainly: 1000, 0.5, 1e-6": (
        Expression("{{ 1_000 }}", "{{ {0} }}", 1000, r"plainly: (1000),"),
        Expression("{{ 12abc }}", "{{ '12abc' }}", "12abc"),
    ),
    "write an expression between the braces, or {{ '{{' }} for the braces themselves": (
        Expression("{{ }}", "{{ params.one }}", 1),
        Expression("a {{ }}", "a {0} {{ '}}' }}", "a {{ }}", r"or ({{ '{{' }}) for"),
    ),
    "write == to compare": Expression("{{ params.one = 1 }}", "{{ params.one {0} 1 }}", True, "write (==)"),
    "write a if condition else b": Expression("{{ 1 if params.yes }}", "{{ 1 if params.yes else 2 }}", 1),
    # --------------------------------------------------------------------------------------- expressions: functions
    "write sum(x) or x | sum; a key of this name is read without brackets": (
        Expression("{{ params.list.sum() }}", "{{ sum(params.list) }}", 6),
        Expression("{{ params.list.sum() }}", "{{ params.list | sum }}", 6),
    ),
    "write {}(…), or … | {}": (
        Expression("{{ sum }}", "{{ {0}(params.list) }}", 6, r"write (\w+)\("),
        Expression("{{ sum }}", "{{ params.list | {0} }}", 6, r"… \| (\w+)"),
    ),
    "write params.NAME, steps.NAME.result, or quotes around a text": (
        Expression("{{ qqqq }}", "{{ {0}text }}", "age", r"write (params\.)NAME"),
        Expression("{{ qqqq }}", "{{ 'qqqq' }}", "qqqq"),
    ),
    "take sum([…]) for a long sum, or a local step": Expression(
        "{{ " + "+ ".join(["params.one "] * 300) + "}}", "{{ sum([" + ", ".join(["params.one"] * 300) + "]) }}", 300
    ),
    "write {}": (
        Expression("{{ join(params.list, 1, 2, 3) }}", "{{ {0}(params.list) }}", "312", r"write (join)"),
        File(HEAD + "steps:\n  my-step: {local: {value: 1}}\n", "my-step", r"write (my_step)"),
        File(
            local("'{{ steps.many.result }}'").replace("  two", f"  many: {TASK}\n  two"),
            "steps.many.result",
            r"write (steps\.\S+?)\)",
        ),
        File(step("{task: {method: m, image: i, central: yes, organization: a}}"), "yes", r"write (true)"),
        File(HEAD + "steps: {a-b: {local: {value: 1}}}\n", "a-b", r"write (a_b)"),
        File(
            HEAD
            + f"params: {{bMI: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: '{{{{ params.bMI }}}}'}}}}}}\noutputs: "
            "{o: '{{ steps.one.result }}'}\n",
            "{bMI",
            r"write (\w+)",
            "{{0}",
            kind="lint",
            then="unknown-param",
        ),
        File(
            TEST + "cases: {c: {answers: {'p[2]': {default: {value: 1}}}}}\n",
            "'p[2]'",
            r"write (p)",
            kind="test",
            files=TESTED,
        ),
        File(HEAD + "steps:\n  s: {timeout: 1h}\n", "{timeout: 1h}", r"`(local):`", "{{0}: {value: 1}}"),
    ),
    "write json": Expression("{{ params.list | tojson }}", "{{ params.list | {0} }}", "[3,1,2]", r"write (json)"),
    "write length": Expression("{{ len(params.list) }}", "{{ {0}(params.list) }}", 3, r"write (length)"),
    "write mean": Expression("{{ params.list | avg }}", "{{ params.list | {0} }}", 2, r"write (mean)"),
    "write default": Expression("{{ params.nope | d(1) }}", "{{ params.nope | {0}(1) }}", 1, r"write (default)"),
    "write zip(keys(x), values(x))": Expression(
        "{{ params.map | items }}", "{{ zip(keys(params.map), values(params.map)) }}", [["k", 5], ["x y", 7]]
    ),
    "write sort": Expression("{{ sorted(params.list) }}", "{{ {0}(params.list) }}", [1, 2, 3], r"write (sort)"),
    "write x ** y": Expression("{{ pow(params.two, 3) }}", "{{ params.two ** 3 }}", 8),
    "write x[::-1]": Expression("{{ params.list | reverse }}", "{{ params.list{0} }}", [2, 1, 3], r"write x(\[::-1\])"),
    "write sort(keys(x))": Expression("{{ params.map | dictsort }}", "{{ sort(keys(params.map)) }}", ["k", "x y"]),
    "leave it out: values are lists and mappings already": Expression(
        "{{ params.list | list }}", "{{ params.list }}", [3, 1, 2]
    ),
    "leave it out: numbers are numbers already; round(x) makes an integer": (
        Expression("{{ params.one | int }}", "{{ params.one }}", 1),
        Expression("{{ int(2.6) }}", "{{ {0}(2.6) }}", 3, r"(round)\(x\)"),
    ),
    "leave it out, or write text around the expression": Expression(
        "{{ params.one | string }}", "n{{ params.one }}", "n1"
    ),
    "leave it out: nothing is escaped": Expression("{{ params.text | safe }}", "{{ params.text }}", "age"),
    "take its keys or its values: `| values`": Expression(
        "{{ params.map | sum }}", "{{ params.map {0} | sum }}", 12, r"`(\| values)`"
    ),
    "a boolean is no number: write `1 if … else 0`": (
        Expression("{{ params.yes + 1 }}", "{{ (1 if params.yes else 0) + 1 }}", 2),
        Expression("{{ params.yes | abs }}", "{{ (1 if params.yes else 0) | abs }}", 1),
    ),
    "write ~ to join texts with numbers": Expression(
        "{{ params.text + 1 }}", "{{ params.text {0} 1 }}", "age1", r"write (~)"
    ),
    "texts are neither repeated nor formatted: join them with ~": Expression(
        "{{ params.text * 2 }}", "{{ params.text {0} params.text }}", "ageage", r"with (~)"
    ),
    "name a key: attribute='…'": Expression(
        "{{ params.rows | sum }}", "{{ sum(params.rows, {0}n') }}", 6, r"(attribute=')…'"
    ),
    "take an item by [0], or what all items have by map(attribute='…')": (
        Expression("{{ params.rows.n }}", "{{ params.rows{0}.n }}", 1, r"by (\[0\]),"),
        Expression("{{ params.rows.n }}", "{{ params.rows | {0}n') }}", [1, 5], r"by (map\(attribute=')…"),
    ),
    "a mapping's keys are texts: ['{}']": Expression("{{ {'1': 9}[1] }}", "{{ {'1': 9}{0} }}", 9, r"texts: (\['1'\])"),
    # -------------------------------------------------------------------------------------- expressions: into a text
    "write `| json` if the text may say so": Expression(
        "a {{ params.inf }}", "a {{ params.inf {0} }}", "a Infinity", r"`(\| json)`"
    ),
    "write `| json` for the text null, or default another value": (
        Expression("a {{ params.null }}", "a {{ params.null {0} }}", "a null", r"`(\| json)`"),
    ),
    "write `| join(', ')` or `| json`": (
        Expression("a {{ params.list }}", "a {{ params.list {0} }}", "a 3, 1, 2", r"`(\| join.*?)`"),
        Expression("a {{ params.list }}", "a {{ params.list {0} }}", "a [3,1,2]", r"or `(\| json)`"),
    ),
    "write `| json`, or `| keys | join(', ')`": (
        Expression("a {{ params.map }}", "a {{ params.map {0} }}", 'a {"k":5,"x y":7}', r"`(\| json)`"),
        Expression("a {{ params.map }}", "a {{ params.map {0} }}", "a k, x y", r"or `(\| keys.*?)`"),
    ),
    # ----------------------------------------------------------------------------------------------- expressions: names
    "did you mean {}?": (
        Expression("{{ parms.one }}", "{{ {0}.one }}", 1, r"did you mean (\w+)\?"),
        Expression("{{ params.list | legnth }}", "{{ params.list | {0} }}", 3, r"did you mean (\w+)\?"),
        Expression("{{ params.one is nunber }}", "{{ params.one is {0} }}", True, r"did you mean (\w+)\?"),
        Expression(
            "{{ ['alpa'] | organization_ids }}", "{{ ['{0}'] | organization_ids }}", [4], r"did you mean (\w+)\?"
        ),
        File(local("'{{ params.m }}'").replace("n: {t", "mm: {t"), "params.m ", _NEAR, "params.{0} "),
        File(local("'{{ steps.on.result }}'"), "steps.on.", _NEAR, "steps.{0}."),
        File(local("'{{ steps.one.reslt }}'"), "reslt", r"(result)", "{0}"),
        File(step("{local: {valu: 1}}"), "valu:", _NEAR, "{0}:"),
        File(step("{task: {method: m, image: i}, quorum: al}"), "quorum: al}", _NEAR, "quorum: {0}}"),
        File(step("{task: {method: m, image: i, organizations: [alpa]}}"), "alpa", _NEAR, kind="plan"),
        File(step("{task: {method: m, image: i}, needs: [onee]}"), "onee", _NEAR),
        File(step("{local: {function: 'f.py:meen'}}"), "meen", _NEAR, files={"f.py": "def mean(): pass\n"}),
        File(step("{local: {function: 'fg.py:mean'}}"), "fg.py", _NEAR, files={"fgg.py": "def mean(): pass\n"}),
        File(step("{local: {function: 'helpr:mean'}}"), "helpr", _NEAR, files={"helper.py": "def mean(): pass\n"}),
        File(federation(EMBEDDED + "studies: {s: [alpa]}\n"), "alpa", _NEAR, kind="federation"),
        File(
            federation(EMBEDDED + "algorithms: {i: {package: averag, path: .}}\n"),
            "averag,",
            _NEAR,
            "{0},",
            kind="federation",
            files={"average.py": ""},
        ),
        File(
            TEST + "cases: {c: {answers: {p: {alpa: {value: 1}}}}}\n", "alpa:", _NEAR, "{0}:", kind="test", files=TESTED
        ),
    ),
    "{} takes no argument {}: did you mean {}?": File(
        step("{local: {function: 'f.py:mean', kwargs: {valus: [1]}}}"),
        "valus:",
        r"did you mean (\w+)\?",
        "{0}:",
        files={"f.py": "def mean(values): pass\n"},
    ),
    "{} is a step: write {}": (
        File(local("'{{ one.result }}'"), "one.result", r"write (\S+?)\)"),
        File(local("'{{ one }}'"), "{{ one", r"write (\S+?)\)", "{{ {0}"),
    ),
    "{} is a param: write params.{}": File(local("'{{ n }}'"), "{{ n", r"write (\S+?)\)", "{{ {0}"),
    "steps.{} alone is not a value: name a part of it": File(
        local("'{{ steps.one }}'"), "steps.one", r"\((steps\.\S+?)\)"
    ),
    "write steps.NAME.result": File(
        local("'{{ steps[params.n] }}'"), "steps[params.n]", r"write (steps\.)NAME(\.result)", "{0}one{1}"
    ),
    "{} alone is not a value: name a part of it": File(
        loop("'{{ loop }}'"), "{{ loop }}", r"it has (\w+),", "{{ loop.{0} }}"
    ),
    "loop.{} alone is not a value: name a part of it": File(
        loop("'{{ loop.r }}'", "as: r, "), "loop.r }}", r"it has (\w+),", "loop.r.{0} }}"
    ),
    "it has {}": File(loop("'{{ loop }}'"), "{{ loop }}", r"it has \w+, (\w+)", "{{ loop.{0} }}"),
    "this alone is not a value: name a part of it": File(
        step("{task: {method: m, image: i}, checks: [{that: '{{ this }}', message: x}]}"),
        "{{ this }}",
        r"it offers .*\b(responded)\b",
        "{{ length(this.{0}) > 1 }}",
    ),
    "it offers {}": File(
        step("{task: {method: m, image: i}, checks: [{that: '{{ this }}', message: x}]}"),
        "{{ this }}",
        r"it offers .*\b(results)\b",
        "{{ length(this.{0}) > 1 }}",
    ),
    "{} is a word of the expression language and cannot be a name: write my_{}": File(
        HEAD + "steps: {not: {local: {value: 1}}}\n", "{not", r"write (\w+)", "{{0}"
    ),
    "{} already has a meaning in expressions and cannot be a name: write my_{}": File(
        HEAD + "steps: {loop: {local: {value: 1}}}\n", "{loop", r"write (\w+)", "{{0}"
    ),
    "name the key literally": File(local("{'{{ params.n }}': 1}"), "'{{ params.n }}'", "(literally)", "n"),
    # ------------------------------------------------------------------------------------------------------------ YAML
    "put quotes around it: {}": (
        File(local("{{ params.n }}"), "{{ params.n }}", _EXACT),
        File(local("{a: {{ params.n }}}"), "{{ params.n }}", _EXACT),
        File(local("[{{ params.n }}, {{ params.n + 1 }}]"), "{{ params.n }}", _EXACT, then="params.n + 1"),
        File(step("{local: {value: 1}, description: the mean: of x}"), "the mean: of x", _EXACT),
    ),
    'put quotes around it: "{}"': (
        File(HEAD.replace(": w", ": 1.10") + "steps: {one: {local: {value: 1}}}\n", "1.10", _EXACT),
        File(step("{local: {value: 1}, description: True}"), "True", _EXACT),
    ),
    "write {} without quotes": File(
        step('{repeat: {state: 1, steps: {a: {local: {value: 1}}}, update: 1, max: "3", on_max: continue}}'),
        '"3"',
        r"write (\S+) without",
    ),
    'write "{}" for the text, or null': (
        File(local("NULL"), "NULL", r'write (".*?")'),
        File(local("NULL"), "NULL", r"or (null)"),
    ),
    'write "{}" for the text, or {}': (
        File(local("010"), "010", r'write (".*?")'),
        File(local("010"), "010", r"or (10) or"),
        File(local("010"), "010", r"or (8) \("),
        File(local("0x1F"), "0x1F", r"or (\S+) for the number"),
        File(local("1_000.50"), "1_000.50", r"or (\S+) for the number"),
        File(local("+.5"), "+.5", r"or (\S+) for the number"),
        File(local(".inf"), ".inf", r"or (null):"),
    ),
    "a space is missing after the colon: {}: {}": File(local("{a:1}"), "a:1", r"after the colon: (.*?)\)"),
    "write `key: value`": (
        File(
            HEAD.replace("v6flow: 1", "v6flow:1") + "steps: {one: {local: {value: 1}}}\n",
            "v6flow:1",
            r"write `key(: )value`",
            "v6flow{0}1",
        ),
    ),
    "write {} where it ends": (
        File(block("[1, 2"), "[1, 2", r"write (\]) where", "[1, 2{0}"),
        File(block("{a: [2]"), "{a: [2]", r"write (}) where", "{a: [2]{0}"),
    ),
    "write \\\\ for a backslash, or use single quotes": (
        File(local('"C:\\data"'), "\\", r"write (\\\\) for"),
        File(local('"C:\\data"'), '"C:\\data"', r"use (single) quotes", "'C:\\data'"),
    ),
    'write an expression: "{{ … }}"': File(
        local("{% if params.n %}"), "{% if params.n %}", r'("{{ )… }}"', '{0}params.n }}"'
    ),
    'use spaces; in "double quotes" a tab is written as \\t': File(local('"a\tb"'), "\t", r"written as (\\t)"),
    'remove it; in "double quotes" a character can be written as \\u and its four digits': File(
        local('"a\u0085b"'), "\u0085", r"written as (\\u)", "{0}0085"
    ),
    'write the value out, or put quotes around "*{}" if it is text': File(
        local("*one"), "*one", r'(".*?") if it is text'
    ),
    'remove it, or put quotes around the text if it begins with "&{}"': File(local("&one"), "&one", r'(".*?")\)'),
    "put quotes around it": File(local("@one"), "@one", r"(quotes)", '"@one"'),
    "put quotes around the text": File(block("? x"), "? x", r"(quotes)", '"? x"'),
    "remove it, or put quotes around the text": File(local("]"), "]}}", r"(quotes)", '"]"}}'),
    "put quotes around the whole value": File(block('"a" b'), '"a" b', r"(quotes)", "'\"a\" b'"),
    "put quotes around a text that begins with {}": File(block("!<x"), "!<x", r"begins with (!)", '"{0}<x"'),
    "remove it; for text, put quotes around the value": File(local("!!str 1"), "!!str 1", r"(quotes)", '"!!str 1"'),
    "put quotes around it if it is text": File(local("9" * 5000), "9" * 5000, r"(quotes)", '"' + "9" * 5000 + '"'),
    "a text that has , [ ] { or } in it needs quotes": File(local("[a]b"), "[a]b", r"(quotes)", '"[a]b"'),
    "keys are text; put quotes around it": File(
        f"{HEAD}? [a]\n: 1\nsteps: {{one: {{local: {{value: 1}}}}}}\n", "[a]", r"(quotes)", '"[a]"', then="unknown key"
    ),
    "write the key": File(block("1") + "  : 1\n", "  : 1", "write the (key)", "  {0}: {local: {value: 1}}"),
    "write the item, or null, or remove it": (
        File(
            local("1").replace("value: 1}}\n", "value: 1}}\n") + "  tri:\n    local:\n      value:\n        -\n",
            "        -\n",
            r"or (null),",
            "        - {0}\n",
        ),
    ),
    "write a value, {} or null, indent what belongs to it, or leave the key out": (
        File(
            local("1") + "  tri:\n    local:\n      value:\n", "      value:\n", r"value, ({}) or", "      value: {0}\n"
        ),
        File(local("1") + "  tri:\n    local:\n      value:\n", "      value:\n", r"or (null),", "      value: {0}\n"),
        File(step("\n    local: {value: 1}\n    description:"), "    description:\n", "(leave) the key out", ""),
    ),
    "write {} where there is nothing to say": File(
        HEAD + "steps: {one: {local: {value: 1}}}\noutputs: null\n", "null", r"write ({})"
    ),
    "write lines of `key: value` instead of items": File(
        HEAD + "steps: [{local: {value: 1}}]\n",
        "[{local: {value: 1}}]",
        "`key(: )value`",
        "{one{0}{local: {value: 1}}}",
    ),
    "write lines of `key: value`": File(
        "- v6flow: 1\n", "- v6flow: 1\n", "`key(: )value`", "v6flow{0}1\nsteps: {one: {local: {value: 1}}}\n"
    ),
    "write `{}: {}`": (
        File("name: w\nsteps: {one: {local: {value: 1}}}\n", "name", r"write `(.*?)`", "{0}\nname"),
        File(step("{task: {image: i}}"), "{image: i}", r"write `(\w+: )…`", "{{0}m, image: i}"),
    ),
    "a {} file says `{}: 1` at the beginning of a line; the text of any other file is not shown": (
        File("name: w\nname: w\n", "name: w\n", r"says `(.*?)`", "{0}\nname: w\n", then="is already at"),
        File(
            EMBEDDED + "backend: embedded\n",
            "backend",
            r"says `(.*?)`",
            "{0}\nbackend",
            kind="federation",
            then="is already at",
        ),
    ),
    "a {} file says `{}: 1`": File(federation(EMBEDDED), "v6flow_federation: 1", r"says `(.*?)`", "{0}", then=""),
    "keep one of them": File(
        step("{task: {method: m, image: i}, local: {value: 1}}"),
        "two: {task: {method: m, image: i}, ",
        "keep (one)",
        "two: {",
    ),
    "remove it": File(step("{local: {value: 1}, quorum: all}"), ", quorum: all", "(remove)", ""),
    "allowed here: {}": File(step("{local: {zzz: 1}}"), "zzz", r"allowed here: .*\b(value)\b", "{0}"),
    "{}s or {}m?": (
        File(step("{task: {method: m, image: i}, timeout: 30}"), "30", r"\((\w+) or"),
        File(step("{task: {method: m, image: i}, timeout: 30}"), "30", r"or (\w+)\?"),
    ),
    "{}M or {}G?": (
        File(
            step("{local: {function: 'f.py:f'}, memory: 2}"),
            "memory: 2",
            r"\((\w+) or",
            "memory: {0}",
            files={"f.py": "def f(): pass\n"},
        ),
        File(
            step("{local: {function: 'f.py:f'}, memory: 2}"),
            "memory: 2",
            r"or (\w+)\?",
            "memory: {0}",
            files={"f.py": "def f(): pass\n"},
        ),
    ),
    "{}h or {}d?": (
        File(step("{task: {method: m, image: i}, cache: 7}"), "7", r"\((\w+) or"),
        File(step("{task: {method: m, image: i}, cache: 7}"), "7", r"or (\w+)\?"),
    ),
    "leave organizations out to ask all": (
        File(
            step("{task: {method: m, image: i, organizations: all}}"),
            ", organizations: all",
            "(leave) organizations out",
            "",
        ),
        File(
            step("{task: {method: m, image: i, organizations: [all]}}"),
            ", organizations: [all]",
            "(leave) organizations out",
            "",
            kind="plan",
        ),
    ),
    # ----------------------------------------------------------------------------------------------------------- steps
    "central: true": File(
        step("{task: {method: m, image: i, subtasks: partial, organization: alpha}}"),
        "subtasks",
        r"\((central: true)\)",
        "{0}, subtasks",
    ),
    "write organization: and its name": File(
        step("{task: {method: m, image: i, central: true}}"),
        "central: true",
        r"write (organization:)",
        "central: true, {0} alpha",
    ),
    "write quorum: all here, or isolation: organization": (
        File(step("{task: {method: m, image: i, isolation: task}, quorum: 1}"), "quorum: 1", r"write (quorum: all)"),
        File(
            step("{task: {method: m, image: i, isolation: task}, quorum: 1}"),
            "isolation: task",
            r"or (isolation: organization)",
        ),
    ),
    "write retry: 1 here, or isolation: organization": (
        File(step("{task: {method: m, image: i, isolation: task}, retry: 2}"), "retry: 2", r"write (retry: 1)"),
        File(
            step("{task: {method: m, image: i, isolation: task}, retry: 2}"),
            "isolation: task",
            r"or (isolation: organization)",
        ),
    ),
    "write until: and a condition, or on_max: continue": (
        File(
            loop("1").replace(", on_max: continue", ""),
            "max: 3",
            r"write (until:)",
            "max: 3, {0} '{{ loop.index > 1 }}'",
        ),
        File(loop("1").replace(", on_max: continue", ""), "max: 3", r"or (on_max: continue)", "max: 3, {0}"),
    ),
    "write it there": File(
        step("{foreach: {over: [1], steps: {a: {task: {method: m, image: i}}}}, timeout: 1h}"),
        "image: i}}}}, timeout: 1h",
        "write it (there)",
        "image: i}, timeout: 1h}}}",
    ),
    "leave {} out": File(step("{local: {value: 1}, timeout: 1h}"), ", timeout: 1h", r"leave (timeout) out", ""),
    "leave allow_cross_site out": File(
        step("{local: {function: 'f.py:f'}, allow_cross_site: why}"),
        ", allow_cross_site: why",
        r"leave (\w+) out",
        "",
        files={"f.py": "def f(): pass\n"},
    ),
    "give this one another name with as:": File(
        step(
            "{foreach: {over: [1], as: x, steps: {a: {foreach: {over: [1], as: x, steps: {b: {local: {value: 1}}}}}}}}"
        ),
        "as: x, steps: {b",
        r"with (as:)",
        "{0} y, steps: {b",
    ),
    "write `that:`, about `this`": File(
        step("{local: {value: 1}, checks: [{each: '{{ result > 0 }}', message: x}]}"),
        "each: '{{ result",
        "write `(that:)`, about `(this)`",
        "{0} '{{ {1}.result",
    ),
    "write it all within one {{ }}": File(
        step("{local: {value: 1}, when: '{{ params.n }} > {{ 1 }}'}"),
        "{{ params.n }} > {{ 1 }}",
        "(within) one",
        "{{ params.n > 1 }}",
    ),
    "write {{ result.count }}, or another part of the result that says how many it is about": File(
        step("{task: {method: m, image: i}, disclosure: {min_count: 3, count: '{{ 5 }}'}}"),
        "{{ 5 }}",
        r"write ({{ \S+ }})",
    ),
    "write file.py:name, or package.module:name": (
        File("f.py", "f.py", r"write file\.py(:)name", "f.py{0}f", kind="function", files={"f.py": "def f(): pass\n"}),
    ),
    "write package.module:name": File(
        "f f:f", "f f:f", r"package\.module(:)name", "f{0}f", kind="function", files={"f.py": "def f(): pass\n"}
    ),
    "a file is named with its .py: {}.py": File(
        "./f:f", "./f", r"its \.py: (\S+?)\)", kind="function", files={"f.py": "def f(): pass\n"}
    ),
    "is the package installed where v6flow runs? A file beside the workflow is named with its .py": File(
        step("{local: {function: 'zz:f'}}"),
        "zz:f",
        r"named with its (\.py)",
        "f{0}:f",
        files={"f.py": "def f(): pass\n"},
    ),
    "it defines {}": File(
        step("{local: {function: 'f.py:zz'}}"), "zz", r"it defines (\w+)", files={"f.py": "def mean(): pass\n"}
    ),
    "name a regular file of Python": File(
        "d.py:f",
        "d.py",
        "a (regular file)",
        "f.py",
        kind="function",
        files={"f.py": "def f(): pass\n", "d.py/f.py": ""},
    ),
    "write a path relative to the workflow's folder": File(
        "/etc/x", "/etc/x", "relative to the (workflow)", "f.py", kind="files", files={"f.py": ""}
    ),
    "no image: say it in the step, in defaults, or in the federation's defaults": File(
        step("{task: {method: m}}"), "method: m}}", r"(image)", "method: m, {0}: i}}", kind="plan"
    ),
    "{} is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s": (
        Line(
            "v6flow run w.yaml --deadline soon",
            r"like (1h30m) or",
            given={"1h30m": "v6flow run w.yaml --deadline 1h30m"},
            files=SOUND,
        ),
        Line(
            "v6flow run w.yaml --deadline soon",
            r"or (45s)",
            given={"45s": "v6flow run w.yaml --deadline 45s"},
            files=SOUND,
        ),
    ),
    # ------------------------------------------------------------------------------------------------------------ lint
    'write organizations: "{{ steps.{}.responded }}"': File(
        PASSES, ASKED, r'write (organizations: ".*?")', ", {0}" + ASKED, kind="lint"
    ),
    "use answers of the same organizations, {}": (
        File(TWO_COHORTS, "[a, b, c]", "use answers of the (same)", "[a, b]"),
        File(
            TWO_COHORTS,
            "'{{ [steps.p.results, steps.q.results] }}'",
            r"or say (mixed_cohorts: )<reason>",
            "{value: '{{ [steps.p.results, steps.q.results] }}', {0}on purpose}",
        ),
    ),
    "or say mixed_cohorts: <reason>": File(
        MIXED, "q: {task", r"or say (mixed_cohorts: )<reason>", "q: {{0}on purpose, task"
    ),
    'write organizations: "{{ steps.{}.responded }}", {}': (
        File(MIXED, "kwargs", r'write (organizations: ".*?"), or', "{0}, kwargs"),
    ),
    "write timeout: 2h, say, beside task or in defaults": (
        File(UNTIMED, "task: {", r"write (timeout: 2h), say", "{0}, task: {", kind="lint"),
        File(UNTIMED, "steps:", r"write (timeout: 2h), say", "defaults: {{0}}\nsteps:", kind="lint"),
    ),
    "write {}:1.0, say, or a digest": File(
        UNTIMED.replace("image: 'i:1'", "image: r.example/i:latest").replace("task: {", "timeout: 1h, task: {"),
        "r.example/i:latest",
        r"write (\S+), say",
        kind="lint",
    ),
    'write an output: converged: "{{ steps.{}.converged }}"': File(
        CONVERGING, "outputs: {", r'write an output: (converged: ".*?")', "outputs: {{0}, ", kind="lint"
    ),
    "use steps.{}.converged in what the step around it returns": File(
        CONVERGING_INSIDE,
        "result: {state:",
        r"use (steps\.\w+\.converged) in",
        'result: {c: "{{ {0} }}", state:',
        kind="lint",
    ),
    "write description: in words of the people who give it": File(
        HEAD + "params: {n: {type: integer, default: 1}}\nsteps: {one: {local: {value: '{{ params.n }}'}}}\n" + OUT,
        "default: 1",
        r"write (description:)",
        "default: 1, {0} A number",
        kind="lint",
    ),
    "remove it, or use it": (
        File(
            HEAD + f"params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: 1}}}}}}\n" + OUT,
            "value: 1",
            "(use) it",
            "value: '{{ params.n }}'",
            kind="lint",
        ),
        File(
            HEAD + f"params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: 1}}}}}}\n" + OUT,
            f"params: {{n: {DESCRIBED}}}\n",
            "(remove) it",
            "",
            kind="lint",
        ),
    ),
    # ----------------------------------------------------------------------------------------------------- other files
    "write the expression in the workflow": File(
        federation(EMBEDDED + "defaults: {image: '{{ params.i }}'}\n"),
        "'{{ params.i }}'",
        "(expression) in",
        "i",
        kind="federation",
    ),
    "write items such as `- {column: age}`": File("column: age\n", "column: age", r"`(.*?)`", kind="sets"),
    "write organizations: [alpha, beta]": File(
        TEST.replace("organizations: [alpha, beta]\n", "") + "cases: {c: {expect: {status: completed}}}\n",
        "cases",
        r"write (organizations: \[.*?\])",
        "{0}\ncases",
        kind="test",
        files=TESTED,
    ),
    "write step, or fit[2].step for an iteration, or table[age].step for an item": File(
        TEST + "cases: {c: {answers: {'p[': {default: {value: 1}}}}}\n",
        "'p['",
        "write (step)",
        "p",
        kind="test",
        files=TESTED,
    ),
    "the gates are: {}": File(
        TEST + "cases: {c: {decisions: {p: approve}}}\n", "{p:", r"gates are: (\w+)", "{{0}:", kind="test", files=TESTED
    ),
    "decisions of people at a gate are given under `decisions`": File(
        TEST + "cases: {c: {answers: {g: {default: {value: 1}}}}}\n",
        "answers: {g: {default: {value: 1}}}",
        r"under `(\w+)`",
        "{0}: {g: approve}",
        kind="test",
        files=TESTED,
    ),
    "there are: {}": File(
        TEST + "cases: {c: {answers: {zzz: {default: {value: 1}}}}}\n",
        "zzz",
        r"there are: (\w+)",
        kind="test",
        files=TESTED,
    ),
    "write approve": File(
        TEST + "cases: {c: {decisions: {g: approved}}}\n", "approved", r"write (\w+)", kind="test", files=TESTED
    ),
    "write reject": File(
        TEST + "cases: {c: {decisions: {g: rejected}}}\n", "rejected", r"write (\w+)", kind="test", files=TESTED
    ),
    "write no_answer": File(
        TEST + "cases: {c: {answers: {p: {alpha: timeout}}}}\n", "timeout", r"write (\w+)", kind="test", files=TESTED
    ),
    "write no_decision": File(
        TEST + "cases: {c: {decisions: {g: waiting}}}\n", "waiting", r"write (\w+)", kind="test", files=TESTED
    ),
    "known here: {}": File(local("'{{ each.item }}'"), "{{ each.item }}", r"known here: .*\b(params)\b", "{{ {0}.n }}"),
    "aggregate it first: in a local step's function or command, or by sum, mean or dot over all results; "
    "or say allow_cross_site: <reason>": (
        File(CROSS, "steps.p.results[0]", "by (sum), ", '{0}(steps.p.results, attribute="n")'),
        File(CROSS, "q: {task", "or say (allow_cross_site: )<reason>", "q: {{0}it is an average, task"),
    ),
    "it asks {}; without `by`, {} decides": (
        File(APPROVED, "carol", r"it asks (\w+)", kind="test", files=APPROVERS),
        File(APPROVED, ", by: carol", r"without `by`, (\w+) decides", "", kind="test", files=APPROVERS),
    ),
    "write {}[2] for the second iteration": File(
        TEST.replace("v.yaml", "r.yaml") + "cases: {c: {answers: {'fit[x].p': {default: {value: 1}}}}}\n",
        "fit[x]",
        r"write (\S+) for",
        kind="test",
        files={"r.yaml": ROUNDS},
    ),
    "name a step inside: {}.{}": File(
        TEST.replace("v.yaml", "r.yaml") + "cases: {c: {answers: {'fit[2]': {default: {value: 1}}}}}\n",
        "fit[2]",
        r"inside: (\S+?)\)",
        kind="test",
        files={"r.yaml": ROUNDS},
    ),
    # -------------------------------------------------------------------------------- the commands of local steps
    "write the program's name": File(
        commanded("[env, '{{ params.n }}', '1']"), "'{{ params.n }}'", "(program)", "echo", kind="ran"
    ),
    "pass it as an argument, as in command: {}; {}": (
        coded("sh", "-c, 'echo {{ params.n }}'"),
        coded("bash", "-ec, 'echo {{ params.n }} and more'"),
        File(
            commanded("[sh, -c, 'echo {{ params.n }}']"),
            "'echo {{ params.n }}']",
            r"pass it as (kwargs), which the program gets as JSON on stdin",
            "cat], {0}: {n: '{{ params.n }}'}",
            kind="ran",
        ),
        File(
            commanded("[sh, -c, 'echo {{ params.n }}']"),
            "'echo {{ params.n }}']",
            r"pass it as (kwargs), .*and in the file (\$V6FLOW_INPUT)",
            "'cat \"{1}\"'], {0}: {n: '{{ params.n }}'}",
            kind="ran",
        ),
    ),
    '[{}, -c, \'printf "%s" "$1"\', {}, {}]': coded("sh", "-c, 'echo {{ params.n }}'"),
    "[{}, -c, 'import sys; print(sys.argv[1])', {}]": coded("python3", "-c, 'print({{ params.n }})'"),
    "[{}, -e, 'print $ARGV[0]', --, {}]": coded("perl", "-e, 'print {{ params.n }}'"),
    "[{}, -e, 'console.log(process.argv[1])', --, {}]": coded("node", "-e, 'console.log({{ params.n }})'"),
    "[{}, -e, 'print ARGV[0]', --, {}]": coded("ruby", "-e, 'print {{ params.n }}'"),
    "[{}, -r, 'echo $argv[1];', --, {}]": coded("php", "-r, 'echo {{ params.n }};'"),
    "[{}, 'BEGIN { print ARGV[1] }', {}]": coded("awk", "'BEGIN { print {{ params.n }} }'"),
    "[{}, -n, --arg, x, {}, '$x']": coded("jq", "-n, '{{ params.n }} + 1'"),
    "[{}, -c, 'echo $argv[1]', --, {}]": coded("fish", "-c, 'echo {{ params.n }}'"),
    "[{}, -v, \"x={}\", -f, FILE] with :'x' in the file's SQL": File(
        commanded("[psql, -c, 'select {{ params.n }}']"),
        "[psql, -c, 'select {{ params.n }}']",
        r"as in command: (\[.*?\]) with",
    ),
    "put the code into a file: [{}, FILE, {}], and read the arguments there": (
        File(
            commanded("[tclsh, '{{ params.n }}']"),
            "[tclsh, '{{ params.n }}']",
            r"into a file: (\[tclsh, )FILE(, .*?\]), and",
            "{0}code.tcl{1}",
            kind="ran" if shutil.which("tclsh") else "workflow",
            files={"code.tcl": "puts [lindex $argv 0]\n"},
        ),
        File(
            commanded("[Rscript, -e, 'print({{ params.n }})']"),
            "[Rscript, -e, 'print({{ params.n }})']",
            r"into a file: (\[.*?\]), and",
        ),
        File(
            commanded("[pwsh, -Command, 'echo {{ params.n }}']"),
            "[pwsh, -Command, 'echo {{ params.n }}']",
            r"into a file: (\[.*?\]), and",
        ),
    ),
    "write the code without expressions, {}": (
        File(commanded("[sed, 's/{{ params.n }}/2/']"), "{{ params.n }}", "(without) expressions", "1", kind="ran"),
        File(
            commanded("[sed, 's/{{ params.n }}/2/']"),
            "'s/{{ params.n }}/2/']",
            r"pass it as (kwargs), which the program gets as JSON on stdin",
            "s/1/2/], {0}: {n: '{{ params.n }}'}",
            kind="ran",
        ),
    ),
    "write it without expressions, {}": File(
        commanded("[sh, 'scripts/{{ params.n }}.sh']"),
        "'scripts/{{ params.n }}.sh'",
        "(without) expressions",
        "scripts/1.sh",
        kind="ran",
        files={"scripts/1.sh": "echo 1\n"},
    ),
    "write -- before it, {}": File(
        commanded("[perl, -e, 'print $ARGV[0]', '{{ params.n }}']"),
        "'{{ params.n }}'",
        r"write (--) before it",
        "{0}, '{{ params.n }}'",
        kind="ran" if shutil.which("perl") else "workflow",
    ),
    "write -- before it if the program takes that, or pass it as kwargs, on stdin": (
        File(
            dashed("[basename, '{{ steps.one.result }}']"),
            "basename, ",
            r"write (--) before",
            "basename, {0}, ",
            kind="lint",
        ),
        File(
            dashed("[cat, '{{ steps.one.result }}']"),
            ", '{{ steps.one.result }}']",
            r"pass it as (kwargs)",
            "], {0}: {n: '{{ steps.one.result }}'}",
            kind="lint",
        ),
    ),
    (
        "step {}: word {} of its command begins with `-` and comes from a step: {} may read it as an option (where the "
        "program takes `--`, write it before)"
    ): Line(
        "v6flow run w.yaml",
        r"takes `(--)`, write it before",
        given={"--": "sed -i 's/basename,/basename, --,/' w.yaml"},
        files={"w.yaml": dashed("[basename, '{{ steps.one.result }}']")},
        again=0,
    ),
    # ----------------------------------------------------------------------------------------------- runs that go wrong
    (
        "look at the state after each iteration: raise max if it still comes closer; if it does not, correct the "
        "steps, the update or until"
    ): (
        Trial(UNENDING, "max: 3", r"raise (max) if", "{0}: 9"),
        Trial(UNENDING, "loop.state + 1", r"correct the steps, the (update)", "loop.state + 3"),
        Trial(UNENDING, "loop.next > 5", r"or (until)", "loop.next > 2"),
        Trial(
            UNENDING.replace("loop.state + 1", "loop.state + steps.a.result"),
            "{value: 1}",
            r"correct the (steps)",
            "{value: 4}",
        ),
        Line(
            "v6flow run w.yaml",
            r"look at the state after each iteration[^`]*?(v6flow explain .*)",
            files={"w.yaml": UNENDING},
        ),
    ),
    "write default(…) around what may be missing": (
        Trial(
            f"{HEAD}steps:\n  one: {{local: {{value: 1}}, properties: {{n: '{{{{ steps.bad.result }}}}'}}}}\n"
            "  bad: {local: {value: 1}, when: '{{ 1 > 2 }}'}\n",
            "steps.bad.result",
            r"write (default)\(…\)",
            "{0}(steps.bad.result, 0)",
        ),
    ),
    "write the output as {value: …, mixed_cohorts: <reason>} if that is meant": Trial(
        f"{HEAD}defaults: {{image: i, quorum: 1}}\nsteps:\n  p: {{task: {{method: m}}}}\n  q: {{task: {{method: m}}}}\n"
        "outputs: {o: '{{ [steps.p.results, steps.q.results] }}'}\n",
        "o: '{{ [steps.p.results, steps.q.results] }}'",
        r"as ({value: )…(, mixed_cohorts: )<reason>(})",
        "o: {0}'{{ [steps.p.results, steps.q.results] }}'{1}on purpose{2}",
        answers="{p: {alpha: {value: 1}, beta: {crash: x}}, q: {alpha: {crash: x}, beta: {value: 1}}}",
    ),
    "send it to those who answered (organizations: …responded), or say mixed_cohorts: <reason> if you mean it": (
        Trial(
            SECOND,
            "kwargs: {a",
            r"\((organizations: )…(responded)\)",
            "{0}'{{ steps.p.{1} }}', kwargs: {a",
            answers=SOME,
        ),
        Trial(SECOND, "q: {task", r"say (mixed_cohorts: )<reason>", "q: {{0}on purpose, task", answers=SOME),
    ),
    "cohort: shrink continues with those who answered last; cohort: any with all": (
        Trial(SHRINKING, "max: 2", r"(cohort: shrink) goes", "max: 2, {0}", answers=SHRUNK),
    ),
    "compare it with something, as in {{ params.x == 'full' }}": Trial(
        HEAD + f"params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: 1}}, when: '{{{{ params.n }}}}'}}}}\n",
        "{{ params.n }}",
        r"as in {{ params\.x (==) 'full' }}",
        "{{ params.n {0} 1 }}",
    ),
    "use | json or | join": (
        Trial(ECHO, "[1, 2] }}", r"use (\| json) or", "[1, 2] {0} }}"),
        Trial(ECHO, "[1, 2] }}", r"or (\| join)", "[1, 2] {0} }}"),
    ),
    "say where it does: disclosure: {count: …}": Trial(
        step("{task: {method: m, image: i}, disclosure: {min_count: 3}}").replace(f"  many: {TASK}\n", ""),
        "{min_count: 3}",
        r"disclosure: {(count: )…}",
        "{min_count: 3, {0}'{{ result.rows }}'}",
        answers="{two: {default: {value: {rows: 9}}}}",
    ),
    'declare where it does, under `policy` in the federation file: counts: {"{}": {"{}": "{{ result.KEY }}"}}': Line(
        "v6flow run w.yaml",
        r"federation file: (counts: .*)",
        again=0,
        given={"KEY": "n", "counts: ": "sed -i 's/min_count: 5/min_count: 5, counts: ", '}}"}}': "}}\"}}/' fed.yaml"},
        files=COUNTED,
    ),
    "write `central: true` and `organization: {}` under `task` of step {}, and start a new run": Line(
        "v6flow run w.yaml",
        r"write `(central: true)` and `organization: alpha` under `task` of step p, and start a new run",
        again=0,
        given={"central: true": "sed -i 's/method: total/method: total, central: true/' w.yaml"},
        files=DISPATCHING,
    ),
    "write central: true and the one organization it runs at": Line(
        "v6flow validate w.yaml",
        r"write (central: true) and the one organization",
        again=0,
        given={"central: true": "sed -i 's/method: total/method: total, central: true/' w.yaml"},
        files=DISPATCHING
        | {"alg.py": DISPATCHING["alg.py"].replace("getattr(client.task, 'create')", "client.task.create")},
    ),
    "if it does, write central: true and the one organization it runs at": Line(
        "v6flow validate w.yaml",
        r"if it does, write (central: true) and the one organization",
        again=0,
        given={"central: true": "sed -i 's/method: total/method: total, central: true/' w.yaml"},
        files=DISPATCHING,
    ),
    "write allow_nonfinite: true beside task: to let NaN and infinities through": Line(
        "v6flow run w.yaml",
        r"write (allow_nonfinite: true) beside task:",
        again=0,
        given={"allow_nonfinite: true": "sed -i 's/p: {task/p: {allow_nonfinite: true, task/' w.yaml"},
        files={
            "w.yaml": f"{HEAD}federation: fed.yaml\nsteps: {{p: {{task: {{method: m, image: i, databases: []}}}}}}\n",
            "fed.yaml": BROKEN["fed.yaml"].replace("nothing_like_it", "infinite"),
            "infinite.py": "def m():\n    return float('nan')\n",
        },
    ),
    "it is a file beside the workflow: write './{}', or name its interpreter first": (
        Trial(SCRIPT, "[run.sh]", r"name its (interpreter) first", "[sh, run.sh]", files={"run.sh": "echo 1\n"}),
    ),
    "chmod +x {}, or name its interpreter": (
        Trial(
            SCRIPT.replace("run.sh", "./run.sh"),
            "[./run.sh]",
            r"name its (interpreter)",
            "[sh, ./run.sh]",
            files={"run.sh": "echo 1\n"},
        ),
        Line(
            "v6flow run w.yaml",
            r"what to do: (chmod \+x .*?), or name",
            again=0,
            files={"w.yaml": SCRIPT.replace("run.sh", "./my run.sh"), "my run.sh": "#!/bin/sh\necho 1\n"},
        ),
    ),
    "give it a first line like #!/bin/sh": Line(
        "v6flow run w.yaml",
        r"first line like (#!/bin/sh)",
        again=0,
        files={"w.yaml": SCRIPT.replace("run.sh", "./run.sh"), "run.sh": "echo 1\n"},
        before=("chmod +x run.sh",),
        given={"#!/bin/sh": "printf '#!/bin/sh\\necho 1\\n' > run.sh"},
    ),
    "stdout must be one JSON text and nothing else, or write it to $V6FLOW_OUTPUT": Trial(
        HEAD + "steps: {one: {local: {command: [sh, -c, 'echo a; echo 1']}}}\n",
        "echo a; echo 1",
        r"write it to (\$V6FLOW_OUTPUT)",
        "echo a; echo 1 > {0}",
    ),
    # ------------------------------------------------------------------------------------------------ two-factor login
    (
        "type the code at a terminal, or set V6FLOW_MFA_CODE to it; `totp_secret: ${keyring:v6flow/totp}` in the "
        "federation file lets v6flow compute it"
    ): (
        LogIn(r"(type the code) at a terminal"),
        LogIn(r"set (V6FLOW_MFA_CODE) to it"),
        LogIn(r"`(totp_secret: .*?)` in the federation file"),
    ),
    "resume the run; {}": (
        LogIn(r"(type the code) at a terminal", ends=True),
        LogIn(r"set (V6FLOW_MFA_CODE) to it", ends=True),
        LogIn(r"`(totp_secret: .*?)` in the federation file", ends=True),
    ),
    "a code is the {} digits that an authenticator app shows now": LogIn(r"the (\d+) digits", code="none"),
    "a code is valid for about {} seconds: set V6FLOW_MFA_CODE to a new one": LogIn(
        r"set (V6FLOW_MFA_CODE) to a new one", code="000000"
    ),
    "add `totp_secret: ${file:{}}` to the federation file and run the same command again": LogIn(
        r"add `(totp_secret: .*?)` to the federation file", new=True
    ),
    (
        "save it in a file that only you can read, add `totp_secret: ${file:PATH}` to the federation file (or give it "
        "to an authenticator app and type the code when v6flow asks), and run the same command again"
    ): (
        LogIn(r"add `(totp_secret: .*?)` to the federation file", new=True, terminal=True),
        LogIn(r"and (type the code) when v6flow asks", new=True, terminal=True),
    ),
    (
        "save it in a file that only you can read, delete every copy of that output, add `totp_secret: ${file:PATH}` "
        "to the federation file, and run the same command again"
    ): LogIn(r"add `(totp_secret: .*?)` to the federation file", new=True, writable=False),
    # ---------------------------------------------------------------------------------------------------- command lines
    "param {} is required{} (give it with --param {}=…)": Line(
        "v6flow run w.yaml",
        r"give it with (--param n=…)",
        given={"--param": "v6flow run w.yaml --param", "…": "3"},
        files=NEEDY,
    ),
    "`v6flow run --help-params {}` lists them": Line(
        "v6flow run 'my flow.yaml'", r"`(v6flow run --help-params .*?)`", files={"my flow.yaml": NEEDY["w.yaml"]}
    ),
    "the params are: {}; the content of other files is not shown": Line(
        "v6flow run w.yaml --params p.yaml",
        r"the params are: (n);",
        again=0,
        given={"n": "sed -i s/zzz/n/ p.yaml"},
        files=SOUND | {"p.yaml": "zzz: 1\n"},
    ),
    "name the folder that may be read": Line(
        "v6flow validate --root nope w.yaml",
        r"name the (folder)",
        given={"folder": "v6flow validate --root . w.yaml"},
        files=SOUND,
    ),
    "name a file in that folder; --root DIR sets another one": (
        Line(
            "v6flow validate --root sub w.yaml",
            r"name a (file) in that folder",
            given={"file": "v6flow validate --root sub sub/w.yaml"},
            files={**SOUND, "sub/w.yaml": SOUND["w.yaml"]},
        ),
        Line(
            "v6flow validate --root sub w.yaml",
            r"(--root DIR) sets",
            given={"--root DIR": "v6flow validate --root . w.yaml"},
            files={**SOUND, "sub/w.yaml": ""},
        ),
    ),
    "mkdir -p {}": Line("v6flow keygen 'my keys/a.pem'", r"hint: (mkdir -p .*)", again=0),
    "`v6flow lint --explain` lists the rules": Line("v6flow lint --explain nope", r"`(v6flow lint --explain)`"),
    "{}; `v6flow lint --explain {}` explains the first": Line(
        "v6flow lint w.yaml", r"`(v6flow lint --explain [\w-]+)`", files=SLOPPY
    ),
    "lint checks workflows only: `v6flow validate {}` reports its problems": Line(
        "v6flow lint 'my fed.yaml'",
        r"`(v6flow validate .*?)`",
        files={"my fed.yaml": federation(EMBEDDED + "algorithms: {}\n")},
    ),
    "`{}` shows everything; --skip-preflight runs it anyway": (
        Line("v6flow run 'my flow.yaml'", r"`(v6flow doctor .*?)`", 2, files=BROKEN),
    ),
    "say federation: FILE in the workflow, or --federation FILE, or set V6FLOW_FEDERATION": Line(
        "v6flow doctor w.yaml",
        r"or (--federation FILE)",
        2,
        given={"--federation FILE": "v6flow doctor w.yaml --federation fed.yaml"},
        files={"w.yaml": UNTIMED, "fed.yaml": BROKEN["fed.yaml"]},
    ),
    "name a workflow, or a federation: v6flow doctor --federation FILE": Line(
        "v6flow doctor",
        r"federation: (v6flow doctor --federation FILE)",
        2,
        given={"FILE": "fed.yaml"},
        files={"fed.yaml": BROKEN["fed.yaml"]},
    ),
    "{} lists the runs": Line("v6flow resume --store 'my runs'", r"hint: (v6flow list .*?) lists"),
    "name one: {}": Line(
        "v6flow resume --store 'my runs'",
        r"name one: (v6flow resume .*)",
        6,
        given={"RUN": "{run}"},
        files=GATED,
        before=("v6flow run w.yaml --store 'my runs'", "v6flow run w.yaml --store 'my runs'"),
    ),
    "{} --help": Line("v6flow run --zzzz", r"hint: (v6flow run --help)"),
    "{} --help shows what there is": Line("v6flow run", r"hint: (v6flow run --help) shows"),
    "usage: v6flow COMMAND [ARGUMENTS]      v6flow COMMAND --help": Line(
        "v6flow qqqqqqqq", r"(v6flow COMMAND --help)", given={"COMMAND": "run"}
    ),
    "look elsewhere with `--store FOLDER` or V6FLOW_STORE": Line(
        "v6flow status",
        r"with `(--store FOLDER)`",
        given={"--store FOLDER": "v6flow status --store 'my runs'"},
        files=SOUND,
        before=("v6flow run w.yaml --store 'my runs'",),
    ),
    "write all its values after one --sweep": Line(
        "v6flow run w.yaml --sweep n=1 --sweep n=2",
        r"after one (--sweep)",
        given={"--sweep": "v6flow run w.yaml --sweep n=1,2"},
        files=SOUND,
    ),
    "leave one of them out": Line(
        "v6flow run w.yaml --sweep n=1 --param n=2",
        r"(leave one of them out)",
        given={"leave one of them out": "v6flow run w.yaml --param n=2"},
        files=SOUND,
    ),
    "name workflow files, or --explain a rule": Line(
        "v6flow lint", r"or (--explain) a rule", given={"--explain": "v6flow lint --explain moving-image"}
    ),
    "call it with asyncio.run(...) in a plain function": Trial(
        HEAD + "steps: {one: {local: {function: 'f:f'}}}\n",
        "'f:f'",
        r"call it with (asyncio\.run\()\.\.\.\)",
        "'g:f'",
        files={
            "f.py": "import asyncio\n\n\nasync def g():\n    return 1\n\n\nf = g\n",
            "g.py": "import asyncio\n\n\nasync def g():\n    return 1\n\n\ndef f():\n    return asyncio.run(g())\n",
        },
    ),
    "return a list: list(...)": Trial(
        HEAD + "steps: {one: {local: {function: 'f:f'}}}\n",
        "'f:f'",
        r"return a list: (list\()\.\.\.\)",
        "'g:f'",
        files={
            "f.py": "def g():\n    yield 1\n\n\nf = g\n",
            "g.py": "def g():\n    yield 1\n\n\ndef f():\n    return list(g())\n",
        },
    ),
    "convert it with .item()": _converted("numpy.float32(1)", r"with (\.item\(\))"),
    "convert it with .tolist()": _converted("numpy.array([1])", r"with (\.tolist\(\))"),
    "convert it with {}": (
        _converted("{1}", r"with (sorted|list)\(", "{0}(%s)"),
        _converted("pandas.Series([1])", r"with (\S+)"),
    ),
    "write it as text, for instance {}": Trial(
        HEAD + "steps: {one: {local: {function: 'f.py:f'}}}\n",
        "f.py:f",
        r"for instance ('\S+')",
        "g.py:f",
        files={"f.py": "def f():\n    return {1: 2}\n", "g.py": "def f():\n    return {'1': 2}\n"},
    ),
    "decisions: {{}: approve} decides it; status: waiting expects no decision": (
        Line(
            "v6flow test",
            r"(decisions: {.*?approve})",
            again=0,
            files=DECIDED | {"w.yaml": GATED["w.yaml"]},
            given={"decisions: ": "printf '%s\\n' 'decisions: ", "approve}": "approve}' >> w.test.yaml"},
        ),
        Line(
            "v6flow test",
            r"(decisions: {.*?approve})",
            again=0,
            files=DECIDED | {"w.yaml": ROUND_OF_GATES},
            given={"decisions: ": "printf '%s\\n' 'decisions: ", "approve}": "approve}' >> w.test.yaml"},
        ),
    ),
    "next: {}v6flow run {}": Line("v6flow init 'my study'", r"next: (.*)", given={"v6flow run": "test -f"}),
    "next: name it in the federation file (private_key: {})": Line(
        "v6flow keygen 'my key.pem'", r"\((private_key: .*?)\)\n", given={"private_key: ": "test -f "}
    ),
    "name one of them": Line(
        "v6flow explain {run} fit.a",
        r"(name one of them)",
        given={"name one of them": "v6flow explain {run} fit[1].a"},
        files={"w.yaml": UNENDING.replace("max: 3", "max: 9")},
        before=("v6flow run w.yaml",),
    ),
    "name another folder: v6flow init FOLDER": Line(
        "v6flow init", r"folder: (v6flow init FOLDER)", given={"FOLDER": "'my study'"}, files={"workflow.yaml": ""}
    ),
    "v6flow test --record RUN average.test.yaml": Line(
        "v6flow test --record {run} a b",
        r"hint: (v6flow test --record RUN average\.test\.yaml)",
        files=SOUND,
        before=("v6flow run w.yaml",),
        given={"RUN": "w-"},
    ),
    "leave out --detach, and run the whole command in the background: nohup v6flow run … &": Line(
        "v6flow run w.yaml --sweep n=1 --detach",
        r"nohup (v6flow run …) &",
        given={"…": "w.yaml --sweep n=1"},
        files=SOUND,
    ),
    "write the path of a test file, or of a folder": Line(
        "v6flow test nope", r"or of a (folder)", given={"folder": "v6flow test ."}, code=5
    ),
}

COMMANDS: tuple[str, ...] = (
    "`private_key: PATH` does; `v6flow keygen PATH` makes one",
    "`v6flow doctor --federation FILE` lists its labels",
    "`v6flow keygen PATH` makes one",
    (
        "reset two-factor login of this user at the server's pages, then run `v6flow doctor --federation FILE` at a "
        "terminal"
    ),
    "`v6flow upload-key --federation FILE` puts that of our private key there",
    (
        "results are encrypted for the key at the server: use its private key; "
        "`v6flow upload-key --federation FILE` shows what replacing it would mean"
    ),
    "then: `v6flow upload-key --federation FILE` uploads its public key to the server",
)
"""What needs a server: that these can be parsed is tried, and the tests of a live server use them."""

ADVICE: dict[str, tuple[str, ...]] = {
    "it says what to do at a server, a node or a store, for which v6flow has no file": (
        "`ca_file` names the certificate authority that your server uses",
        "a store knows servers by their exact addresses: is `server` the one by which it was linked?",
        "an administrator of the server gives the rule task | view | collaboration; {}",
        "an administrator of the server gives the rule {}",
        "ask {} to add it to `allowed_algorithms` in its node's policies, or use another image",
        "ask {} to start its node; a step waits for it until its timeout",
        "does somebody else, or a node that has just started, upload another key?",
        "encryption is on in the configuration of that node",
        "does a proxy have a login of its own?",
        "is `totp_secret` the secret of this user, and this machine's clock right?",
        "is it http:// on that port?",
        "is its name right, and may the node pull it?",
        "is the path of the server's address right? Most end with /api",
        "it is the base32 text that was shown beside the QR code",
        "its node does not share logs; {}",
        "its node uploads one when it starts with encryption on",
        "its results may be pickles, which v6flow never loads; ask for an upgrade to vantage6 4",
        "log in as a user of an organization that is",
        (
            "log in once at the server's own pages and give the secret shown there as `totp_secret` (an administrator "
            "may have to reset two-factor login before)"
        ),
        "set the clock (NTP): two-factor codes fail, and deadlines are judged by this machine's",
        "the administrator of the server gives rights to users",
        "the algorithm must return JSON: it was made for vantage6 before 4.0",
        "the node's administrator decides which images it allows",
        "the rule node | view | collaboration lets a user see them",
        "the server takes no task for it: register a node for it, or leave it out of the federation file",
        "no other attempt is made; a server locks an account after some failures, usually for 15 minutes",
        "vantage6 5 has another login and sessions; a later v6flow may support it",
        "vantage6 uses RSA keys only",
        (
            "v6flow used nothing of that answer; if it happens again, ask the administrator of the server whether a "
            "proxy or a cache in front of it mixes up answers"
        ),
        "was the journal copied, or the task made by hand?",
        "the request is larger than the server, or a proxy in front of it, accepts",
        "who runs the node can read the log there",
    ),
    "what it shows is a key of a federation at a server, which the tests of vantage6's parts use": (
        "`allow_http: true` in the federation file allows it if the network itself is protected",
        "`backend: vantage6` is a federation at a server",
        "`private_key: PATH` names that of {}",
        "it begins with -----BEGIN RSA PRIVATE KEY-----",
        "it looks like https://v6.example.org/api",
        "isolation: organization makes a task for each",
        "the address is that of the API, most often https://…/api; the address in a browser is another",
        "use https:// unless the network is safe",
        "use https://, or write `allow_http: true` in the federation file if the network itself is protected",
        "use the private key that belongs to the one at the server; --replace puts ours there, and then {}",
        "vantage6 uses keys without one: openssl rsa -in {} -traditional -out NEW",
        "with isolation: organization one failure does not end the others",
        "write `id` where names are equal",
        "write `server: {}`",
        "write `username` and `password` beside `server`",
        "write the id, as a number",
        "write the server's final address in the federation file",
    ),
    "it says what to do on this machine, with other programs, with time or space": (
        "another process works on it: wait for that to end",
        "choose a folder that can be written, with `--store FOLDER` or V6FLOW_STORE",
        "install it for the interpreter that the federation file names, or give its folder as `path`",
        "install it, or {}",
        'install vantage6\'s tools for it: pip install "v6flow[embedded]"',
        "install a version of {} that fits this v6flow",
        "install {} for the interpreter that the federation file names",
        "is it installed, and on the PATH of v6flow?",
        "continue it with `kill -CONT {}`, or end it with `kill -KILL {}`",
        "make space and resume the run",
        "make space on that disk, then repeat the command",
        "free space on that disk, then {}",
        "free disk space, then run: {}",
        "name a file in a folder that you can write to, on a file system with hard links (FAT has none)",
        "name a new file",
        "name a folder that you can write to; no files were left behind",
        "name another file; data encrypted for an old key can be read only with that key",
        "often because the machine had no memory left",
        'pip install "v6flow[embedded]"',
        "pip install keyring",
        "raise `memory`, or read less at once",
        "restore the whole folder of the run from a backup",
        "repeat the command: it checks first whether the key arrived after all",
        "set TMPDIR to a folder that can be written",
        "the system is out of processes, files or space",
        "the system may have run out of memory",
        "this file system cannot lock files: choose another, with `--store FOLDER`",
        "try again later",
        "uninstall one of them",
        "use the v6flow that wrote it, or a newer one",
        "wait until it has ended",
        "wait until it has ended, or end it: `kill {}`",
        "when the server is back, resume the run",
        "{} refers to it; a file .env beside the federation file is read too",
    ),
    "it names what must change in a file or a program, and only its author knows how": (
        "a colon is missing",
        "a function must return; os._exit ends its process at once",
        "a step that gets no answers ends only at its timeout: give it one",
        "align it with the keys that it belongs to",
        "begin it on a line of its own",
        "begin the text on the next line, indented",
        "close it",
        "close the expression with }}, and {}",
        "databases lists the labels that the nodes give them, in this order",
        "use fewer task steps",
        "use fewer task steps or attempts",
        "publish facts here, and results as outputs",
        "flatten it, or move data to other files",
        "give the param a default, or start a new run",
        "is the package installed where v6flow runs? A file is named with its .py",
        "it is left as it is; write mappings and lists without ? and over whole lines",
        "keep one document in a file",
        "leave central out",
        "leave crashed out; fix the cause, then resume the run with --retry-failed",
        "leave it out",
        "mend it",
        "mend it in {}",
        "correct it under `algorithms` in the federation file",
        "correct it under `organizations` in the federation file",
        "correct its `path` under `algorithms` in {}",
        "correct its `python` under `algorithms` in {}",
        "fix that first",
        "fix that first, or ask another organization",
        "fix that first, or {}",
        "fix that first, or {} and take {} out of `required`",
        "fix that first, or {}, or do without {} (quorum: {})",
        "move data to other files",
        "nothing is as new as {}: write none, or a longer duration",
        "remove the escape",
        "remove the lines that begin with %",
        "return plain numbers, text, lists, mappings",
        "save it as UTF-8",
        "save it as UTF-8 without BOM",
        "save the file as UTF-8",
        "shorten it",
        "remove `offline: true` from the federation file; a step waits for it until its timeout",
        "the block it may belong to begins at {}:{}",
        "the function must return its result; `sys.exit` keeps the wrapper from writing it",
        "the function wants a database and the task names none: add `databases: [<label>]` to the step",
        "the name {} is longer than {} characters: write a shorter one",
        "undo the change, or start a new run",
        "use {} for texts inside the expression",
        "write it",
        "write it as a list, with [ and ]",
        "write the keys out",
        "write the number of one of them",
        "{} is longer than a hundred years: write a shorter duration",
        "{} is more than any machine has: write a smaller size",
        "{} is not a size: write a number and K, M, G or T, like 512M or 2G",
        "{}add it under `algorithms` in {}",
        "{}the federation file gives an organization its `databases`",
    ),
    "an algorithm store must describe the function for it, as the tests of `declared` do": (
        'write "{{ federation.organizations | organization_ids }}" for the ids of all',
    ),
    "the schema refuses such a name first, with the right one": ("{} cannot be a name: write {} ({})",),
    "it says how a thing is, or lists what there is": (
        "allowed: {}",
        "an id has letters, digits, `.`, `_` and `-`",
        "give more of the id",
        "it declares {}",
        "it defines no functions",
        "the file is unchanged",
        "it is known under `finally`",
        "it is one of {}",
        "it takes {}",
        "loop.state is the result of the previous iteration",
        "name a nested step, like {}",
        "name one of its own",
        "name one of its own: {}",
        "no gate of this run is waiting; see `v6flow status`",
        "nothing was written",
        "name one of them, like {}",
        "start a new run",
        "steps.{}.{}",
        "the state after the iteration is known only in until",
        "there are {}",
        "there is nothing left to cancel",
        "this is a bug in v6flow",
        "this workflow has no gates",
        "those that wait: {}",
        "{} is nested in {}, which publishes what may be seen outside",
    ),
    "it is a page of `lint --explain`, a heading, or a name, and no hint": (
        "  what to do: {}",
        (
            "If somebody is missing, the two passes are about different patients, and the run fails for mixing "
            "cohorts, when the hospitals have been asked already. Ask those who responded, or say "
            "mixed_cohorts: and why."
        ),
        (
            "Outputs are what is passed on. Whoever reads them then learns what each single hospital had, which pooled "
            "figures do not tell. If that is meant, say so on the line."
        ),
        "set {} of {}: {}",
        "start failed",
        "start.py",
        "make gmake bmake remake",
        "the journal {} is of a newer version: its format is {}, this v6flow knows {}",
    ),
    "the command line in it, or beside it, is made in one place, and tests of commands follow it": (
        "if it does not exist there (its description begins with {}), resume the run with --resubmit {}",
        "subtasks: partial accepts what a central function makes of those that answered",
        "the organization may be offline; to ask it again, resume the run with --retry-failed",
        "to give it more time, resume the run with --retry-failed and --deadline",
        "to resume with more time, say 2 hours: {}",
        "its open tasks at the server keep running; {} tries again",
        "{} resumes it",
        "{} returns its result",
    ),
}
"""Hints that show no text to write, by the reason."""
