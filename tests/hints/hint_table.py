"""The table of all hints: a case that follows each which shows a text to write, and why the others show none.

A new hint goes into one of three places, by the text that the test prints: REMEDIES, with a case that provokes and
follows it; COMMANDS, if all that it shows is a command of v6flow, which every test of commands then parses; or ADVICE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hint_cases import Expression, File

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


def block(text: str) -> str:
    """A workflow with a value on a line of its own."""
    return f"{HEAD}steps:\n  one:\n    local:\n      value: {text}\n"


def loop(text: str, more: str = "") -> str:
    """A workflow with a step that iterates; `text` is what each round computes."""
    inner = f"{{a: {{local: {{value: {text}}}}}}}"
    return step(f"{{repeat: {{{more}state: 1, steps: {inner}, update: 1, max: 3, on_max: continue}}}}")


_NEAR = r"did you mean ([\w.]+)\?"
_EXACT = r"put quotes around it: (\S.*?)(?:\)| \[|$)"

REMEDIES: dict[str, Case | tuple[Case, ...]] = {
    # ------------------------------------------------------------------------------------------- expressions: signs
    "write straight quotes": Expression("{{ “a” }}", "{{ 'a' }}", "a"),
    "a text ends with the quote that it began with": Expression("{{ 'a }}", "{{ 'a' }}", "a"),
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
        File(step("{task: {method: m, image: i, organizations: alpha}}"), "organizations: alpha", r"write (\[alpha\])", "organizations: {0}"),
    ),
    'write ["{}"]': File(step('{task: {method: m, image: i, organizations: "12"}}'), '"12"', r"write (\[.*?\])"),
    "leave a space between the braces and a sign": Expression("{{-params.one }}", "{{ -params.one }}", -1),
    "say by brackets what it takes: (a {} b) {} …, or a {} (b {} …)": (
        Expression("{{ params.one - params.two | abs }}", "{{ (params.one - params.two) | abs }}", 1),
        Expression("{{ params.one - params.two | abs }}", "{{ params.one - (params.two | abs) }}", -1),
    ),
    "write \\\\ for a backslash itself": Expression("{{ 'a\\d' }}", "{{ 'a{0}d' }}", "a\\d", r"write (\\\\) for"),
    "write ~ between them to join them, or a comma": Expression("{{ 'a' 'b' }}", "{{ 'a' {0} 'b' }}", "ab", "write (~)"),
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
        File(local("'{{ steps.many.result }}'").replace("  two", f"  many: {TASK}\n  two"), "steps.many.result", r"write (steps\.\S+?)\)"),
        File(step("{task: {method: m, image: i, central: yes, organization: a}}"), "yes", r"write (true)"),
        File(HEAD + "steps: {a-b: {local: {value: 1}}}\n", "a-b", r"write (a_b)"),
        File(HEAD + f"params: {{bMI: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: '{{{{ params.bMI }}}}'}}}}}}\noutputs: "
             "{o: '{{ steps.one.result }}'}\n", "{bMI", r"write (\w+)", "{{0}", kind="lint", then="unknown-param"),
        File(TEST + "cases: {c: {answers: {'p[2]': {default: {value: 1}}}}}\n", "'p[2]'", r"write (p)", kind="test", files=TESTED),
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
    "leave it out: values are lists and mappings already": Expression("{{ params.list | list }}", "{{ params.list }}", [3, 1, 2]),
    "leave it out: numbers are numbers already; round(x) makes an integer": (
        Expression("{{ params.one | int }}", "{{ params.one }}", 1),
        Expression("{{ int(2.6) }}", "{{ {0}(2.6) }}", 3, r"(round)\(x\)"),
    ),
    "leave it out, or write text around the expression": Expression("{{ params.one | string }}", "n{{ params.one }}", "n1"),
    "leave it out: nothing is escaped": Expression("{{ params.text | safe }}", "{{ params.text }}", "age"),
    "take its keys or its values: `| values`": Expression(
        "{{ params.map | sum }}", "{{ params.map {0} | sum }}", 12, r"`(\| values)`"
    ),
    "a boolean is no number: write `1 if … else 0`": (
        Expression("{{ params.yes + 1 }}", "{{ (1 if params.yes else 0) + 1 }}", 2),
        Expression("{{ params.yes | abs }}", "{{ (1 if params.yes else 0) | abs }}", 1),
    ),
    "write ~ to join texts with numbers": Expression("{{ params.text + 1 }}", "{{ params.text {0} 1 }}", "age1", r"write (~)"),
    "texts are neither repeated nor formatted: join them with ~": Expression(
        "{{ params.text * 2 }}", "{{ params.text {0} params.text }}", "ageage", r"with (~)"
    ),
    "say which of its keys: attribute='…'": Expression(
        "{{ params.rows | sum }}", "{{ sum(params.rows, {0}n') }}", 6, r"(attribute=')…'"
    ),
    "take an item by [0], or what all items have by map(attribute='…')": (
        Expression("{{ params.rows.n }}", "{{ params.rows{0}.n }}", 1, r"by (\[0\]),"),
        Expression("{{ params.rows.n }}", "{{ params.rows | {0}n') }}", [1, 5], r"by (map\(attribute=')…"),
    ),
    "a mapping's keys are texts: ['{}']": Expression(
        "{{ {'1': 9}[1] }}", "{{ {'1': 9}{0} }}", 9, r"texts: (\['1'\])"
    ),
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
    # ------------------------------------------------------------------------------------------------ expressions: names
    "did you mean {}?": (
        Expression("{{ parms.one }}", "{{ {0}.one }}", 1, r"did you mean (\w+)\?"),
        Expression("{{ params.list | legnth }}", "{{ params.list | {0} }}", 3, r"did you mean (\w+)\?"),
        Expression("{{ params.one is nunber }}", "{{ params.one is {0} }}", True, r"did you mean (\w+)\?"),
        Expression("{{ ['alpa'] | organization_ids }}", "{{ ['{0}'] | organization_ids }}", [4], r"did you mean (\w+)\?"),
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
        File(federation(EMBEDDED + "algorithms: {i: {package: averag, path: .}}\n"), "averag,", _NEAR, "{0},", kind="federation",
             files={"average.py": ""}),
        File(TEST + "cases: {c: {answers: {p: {alpa: {value: 1}}}}}\n", "alpa:", _NEAR, "{0}:", kind="test", files=TESTED),
    ),
    "{} takes no argument {}: did you mean {}?": File(
        step("{local: {function: 'f.py:mean', kwargs: {valus: [1]}}}"), "valus:", r"did you mean (\w+)\?", "{0}:",
        files={"f.py": "def mean(values): pass\n"},
    ),
    "{} is a step: write {}": (
        File(local("'{{ one.result }}'"), "one.result", r"write (\S+?)\)"),
        File(local("'{{ one }}'"), "{{ one", r"write (\S+?)\)", "{{ {0}"),
    ),
    "{} is a param: write params.{}": File(local("'{{ n }}'"), "{{ n", r"write (\S+?)\)", "{{ {0}"),
    "steps.{} alone is no value: say what of it": File(local("'{{ steps.one }}'"), "steps.one", r"\((steps\.\S+?)\)"),
    "write steps.NAME.result": File(local("'{{ steps[params.n] }}'"), "steps[params.n]", r"write (steps\.)NAME(\.result)", "{0}one{1}"),
    "{} alone is no value: say what of it": File(
        loop("'{{ loop }}'"), "{{ loop }}", r"it has (\w+),", "{{ loop.{0} }}"
    ),
    "loop.{} alone is no value: say what of it": File(
        loop("'{{ loop.r }}'", "as: r, "), "loop.r }}", r"it has (\w+),", "loop.r.{0} }}"
    ),
    "it has {}": File(loop("'{{ loop }}'"), "{{ loop }}", r"it has \w+, (\w+)", "{{ loop.{0} }}"),
    "this alone is no value: say what of it": File(
        step("{task: {method: m, image: i}, checks: [{that: '{{ this }}', message: x}]}"), "{{ this }}",
        r"it offers .*\b(responded)\b", "{{ length(this.{0}) > 1 }}",
    ),
    "it offers {}": File(
        step("{task: {method: m, image: i}, checks: [{that: '{{ this }}', message: x}]}"), "{{ this }}",
        r"it offers .*\b(results)\b", "{{ length(this.{0}) > 1 }}",
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
    "write {} without quotes": File(step('{repeat: {state: 1, steps: {a: {local: {value: 1}}}, update: 1, max: "3", on_max: continue}}'), '"3"', r"write (\S+) without"),
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
        File(HEAD.replace("v6flow: 1", "v6flow:1") + "steps: {one: {local: {value: 1}}}\n", "v6flow:1", r"write `key(: )value`", "v6flow{0}1"),
    ),
    "write {} where it ends": (
        File(block("[1, 2"), "[1, 2", r"write (\]) where", "[1, 2{0}"),
        File(block("{a: [2]"), "{a: [2]", r"write (}) where", "{a: [2]{0}"),
    ),
    "write \\\\ for a backslash, or use single quotes": (
        File(local('"C:\\data"'), "\\", r"write (\\\\) for"),
        File(local('"C:\\data"'), '"C:\\data"', r"use (single) quotes", "'C:\\data'"),
    ),
    'write an expression: "{{ … }}"': File(local("{% if params.n %}"), "{% if params.n %}", r'("{{ )… }}"', '{0}params.n }}"'),
    'use spaces; in "double quotes" a tab is written as \\t': File(local('"a\tb"'), "\t", r"written as (\\t)"),
    'remove it; in "double quotes" a character can be written as \\u and its four digits': File(
        local('"a\u0085b"'), "\u0085", r"written as (\\u)", "{0}0085"
    ),
    'write the value out, or put quotes around "*{}" if it is text': File(local("*one"), "*one", r'(".*?") if it is text'),
    'remove it, or put quotes around the text if it begins with "&{}"': File(local("&one"), "&one", r'(".*?")\)'),
    "put quotes around it": File(local("@one"), "@one", r"(quotes)", '"@one"'),
    "put quotes around the text": File(block("? x"), "? x", r"(quotes)", '"? x"'),
    "remove it, or put quotes around the text": File(local("]"), "]}}", r"(quotes)", '"]"}}'),
    "put quotes around the whole value": File(block('"a" b'), '"a" b', r"(quotes)", "'\"a\" b'"),
    "put quotes around a text that begins with {}": File(block("!<x"), "!<x", r"begins with (!)", '"{0}<x"'),
    "remove it; for text, put quotes around the value": File(local("!!str 1"), "!!str 1", r"(quotes)", '"!!str 1"'),
    "put quotes around it if it is text": File(local("9" * 5000), "9" * 5000, r"(quotes)", '"' + "9" * 5000 + '"'),
    "a text that has , [ ] { or } in it needs quotes": File(local("[a]b"), "[a]b", r"(quotes)", '"[a]b"'),
    "keys are text; put quotes around it": File(f"{HEAD}? [a]\n: 1\nsteps: {{one: {{local: {{value: 1}}}}}}\n", "[a]", r"(quotes)", '"[a]"', then="unknown key"),
    "write the key": File(block("1") + "  : 1\n", "  : 1", "write the (key)", "  {0}: {local: {value: 1}}"),
    "write the item, or null, or remove it": (
        File(local("1").replace("value: 1}}\n", "value: 1}}\n") + "  tri:\n    local:\n      value:\n        -\n", "        -\n", r"or (null),", "        - {0}\n"),
    ),
    "write a value, {} or null, indent what belongs to it, or leave the key out": (
        File(local("1") + "  tri:\n    local:\n      value:\n", "      value:\n", r"value, ({}) or", "      value: {0}\n"),
        File(local("1") + "  tri:\n    local:\n      value:\n", "      value:\n", r"or (null),", "      value: {0}\n"),
        File(local("1") + "    description:\n", "    description:\n", "(leave) the key out", "", then=None) if False else File(step("\n    local: {value: 1}\n    description:"), "    description:\n", "(leave) the key out", ""),
    ),
    "write {} where there is nothing to say": File(HEAD + "steps: {one: {local: {value: 1}}}\noutputs: null\n", "null", r"write ({})"),
    "write lines of `key: value` instead of items": File(HEAD + "steps: [{local: {value: 1}}]\n", "[{local: {value: 1}}]", "`key(: )value`", "{one{0}{local: {value: 1}}}"),
    "write lines of `key: value`": File("- v6flow: 1\n", "- v6flow: 1\n", "`key(: )value`", "v6flow{0}1\nsteps: {one: {local: {value: 1}}}\n"),
    "write `{}: {}`": (
        File("name: w\nsteps: {one: {local: {value: 1}}}\n", "name", r"write `(.*?)`", "{0}\nname"),
        File(step("{task: {image: i}}"), "image: i}}\n", r"write `(\w+: )…`", "{0}m, image: i}}\n") if False else File(step("{task: {image: i}}"), "{image: i}", r"write `(\w+: )…`", "{{0}m, image: i}"),
    ),
    "a {} file says `{}: 1`": File(federation(EMBEDDED), "v6flow_federation: 1", r"says `(.*?)`", "{0}", then=""),
    "keep one of them": File(step("{task: {method: m, image: i}, local: {value: 1}}"), "two: {task: {method: m, image: i}, ", "keep (one)", "two: {"),
    "remove it": File(step("{local: {value: 1}, quorum: all}"), ", quorum: all", "(remove)", ""),
    "allowed here: {}": File(step("{local: {zzz: 1}}"), "zzz", r"allowed here: .*\b(value)\b", "{0}"),
    "{}s or {}m?": (
        File(step("{task: {method: m, image: i}, timeout: 30}"), "30", r"\((\w+) or"),
        File(step("{task: {method: m, image: i}, timeout: 30}"), "30", r"or (\w+)\?"),
    ),
    "{}M or {}G?": (
        File(step("{local: {function: 'f.py:f'}, memory: 2}"), "memory: 2", r"\((\w+) or", "memory: {0}", files={"f.py": "def f(): pass\n"}),
        File(step("{local: {function: 'f.py:f'}, memory: 2}"), "memory: 2", r"or (\w+)\?", "memory: {0}", files={"f.py": "def f(): pass\n"}),
    ),
    "{}h or {}d?": (
        File(step("{task: {method: m, image: i}, cache: 7}"), "7", r"\((\w+) or"),
        File(step("{task: {method: m, image: i}, cache: 7}"), "7", r"or (\w+)\?"),
    ),
    "leave organizations out to ask all": (
        File(step("{task: {method: m, image: i, organizations: all}}"), ", organizations: all", "(leave) organizations out", ""),
        File(step("{task: {method: m, image: i, organizations: [all]}}"), ", organizations: [all]", "(leave) organizations out", "", kind="plan"),
    ),
    # ----------------------------------------------------------------------------------------------------------- steps
    "central: true": File(step("{task: {method: m, image: i, subtasks: partial, organization: alpha}}"), "subtasks", r"\((central: true)\)", "{0}, subtasks"),
    "write organization: and its name": File(step("{task: {method: m, image: i, central: true}}"), "central: true", r"write (organization:)", "central: true, {0} alpha"),
    "write quorum: all here, or isolation: organization": (
        File(step("{task: {method: m, image: i, isolation: task}, quorum: 1}"), "quorum: 1", r"write (quorum: all)"),
        File(step("{task: {method: m, image: i, isolation: task}, quorum: 1}"), "isolation: task", r"or (isolation: organization)"),
    ),
    "write retry: 1 here, or isolation: organization": (
        File(step("{task: {method: m, image: i, isolation: task}, retry: 2}"), "retry: 2", r"write (retry: 1)"),
        File(step("{task: {method: m, image: i, isolation: task}, retry: 2}"), "isolation: task", r"or (isolation: organization)"),
    ),
    "write until: and a condition, or on_max: continue": (
        File(loop("1").replace(", on_max: continue", ""), "max: 3", r"write (until:)", "max: 3, {0} '{{ loop.index > 1 }}'"),
        File(loop("1").replace(", on_max: continue", ""), "max: 3", r"or (on_max: continue)", "max: 3, {0}"),
    ),
    "write it there": File(
        step("{foreach: {over: [1], steps: {a: {task: {method: m, image: i}}}}, timeout: 1h}"),
        "image: i}}}}, timeout: 1h", "write it (there)", "image: i}, timeout: 1h}}}",
    ),
    "leave {} out": File(step("{local: {value: 1}, timeout: 1h}"), ", timeout: 1h", r"leave (timeout) out", ""),
    "leave allow_cross_site out": File(
        step("{local: {function: 'f.py:f'}, allow_cross_site: why}"), ", allow_cross_site: why", r"leave (\w+) out", "",
        files={"f.py": "def f(): pass\n"},
    ),
    "give this one another name with as:": File(
        step("{foreach: {over: [1], as: x, steps: {a: {foreach: {over: [1], as: x, steps: {b: {local: {value: 1}}}}}}}}"),
        "as: x, steps: {b", r"with (as:)", "{0} y, steps: {b",
    ),
    "write `that:`, about `this`": File(
        step("{local: {value: 1}, checks: [{each: '{{ result > 0 }}', message: x}]}"), "each: '{{ result", "write `(that:)`, about `(this)`",
        "{0} '{{ {1}.result",
    ),
    "write it all within one {{ }}": File(
        step("{local: {value: 1}, when: '{{ params.n }} > {{ 1 }}'}"), "{{ params.n }} > {{ 1 }}", "(within) one", "{{ params.n > 1 }}"
    ),
    "write {{ result.count }}, or where else the result says how many it is about": File(
        step("{task: {method: m, image: i}, disclosure: {min_count: 3, count: '{{ 5 }}'}}"), "{{ 5 }}", r"write ({{ \S+ }})"
    ),
    "write file.py:name, or package.module:name": (
        File("f.py", "f.py", r"write file\.py(:)name", "f.py{0}f", kind="function", files={"f.py": "def f(): pass\n"}),
    ),
    "write package.module:name": File("f f:f", "f f:f", r"package\.module(:)name", "f{0}f", kind="function", files={"f.py": "def f(): pass\n"}),
    "a file is named with its .py: {}.py": File("./f:f", "./f", r"its \.py: (\S+?)\)", kind="function", files={"f.py": "def f(): pass\n"}),
    "is the package installed where v6flow runs? A file beside the workflow is named with its .py": File(
        step("{local: {function: 'zz:f'}}"), "zz:f", r"named with its (\.py)", "f{0}:f", files={"f.py": "def f(): pass\n"}
    ),
    "it defines {}": File(step("{local: {function: 'f.py:zz'}}"), "zz", r"it defines (\w+)", files={"f.py": "def mean(): pass\n"}),
    "write a path relative to the workflow's folder": File(
        "/etc/x", "/etc/x", "relative to the (workflow)", "f.py", kind="files", files={"f.py": ""}
    ),
    "no image: say it in the step, in defaults, or in the federation's defaults": File(
        step("{task: {method: m}}"), "method: m}}", r"(image)", "method: m, {0}: i}}", kind="plan"
    ),
    "{} is not a duration: write days, hours, minutes and seconds, like 1h30m or 45s": (),
    # ------------------------------------------------------------------------------------------------------------ lint
    'write organizations: "{{ steps.{}.responded }}"': File(PASSES, ASKED, r'write (organizations: ".*?")', ", {0}" + ASKED, kind="lint"),
    "use answers of the same organizations, {}": (
        File(TWO_COHORTS, "[a, b, c]", "use answers of the (same)", "[a, b]"),
        File(TWO_COHORTS, "'{{ [steps.p.results, steps.q.results] }}'", r"or say (mixed_cohorts: )<reason>",
             "{value: '{{ [steps.p.results, steps.q.results] }}', {0}on purpose}"),
    ),
    "or say mixed_cohorts: <reason>": File(MIXED, "q: {task", r"or say (mixed_cohorts: )<reason>", "q: {{0}on purpose, task"),
    'write organizations: "{{ steps.{}.responded }}", {}': (
        File(MIXED, "kwargs", r'write (organizations: ".*?"), or', "{0}, kwargs"),
    ),
    "write timeout: 2h, say, beside task or in defaults": (
        File(UNTIMED, "kwargs", r"write (timeout: 2h), say", "kwargs", kind="lint") if False else File(UNTIMED, "task: {", r"write (timeout: 2h), say", "{0}, task: {", kind="lint"),
        File(UNTIMED, "steps:", r"write (timeout: 2h), say", "defaults: {{0}}\nsteps:", kind="lint"),
    ),
    "write {}:1.0, say, or a digest": File(UNTIMED.replace("image: 'i:1'", "image: r.example/i:latest").replace("task: {", "timeout: 1h, task: {"), "r.example/i:latest", r"write (\S+), say", kind="lint"),
    "write description: in words of the people who give it": File(
        HEAD + "params: {n: {type: integer, default: 1}}\nsteps: {one: {local: {value: '{{ params.n }}'}}}\n" + OUT,
        "default: 1", r"write (description:)", "default: 1, {0} A number", kind="lint",
    ),
    "remove it, or use it": (
        File(HEAD + f"params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: 1}}}}}}\n" + OUT, "value: 1", "(use) it", "value: '{{ params.n }}'", kind="lint"),
        File(HEAD + f"params: {{n: {DESCRIBED}}}\nsteps: {{one: {{local: {{value: 1}}}}}}\n" + OUT, f"params: {{n: {DESCRIBED}}}\n", "(remove) it", "", kind="lint"),
    ),
    # ----------------------------------------------------------------------------------------------------- other files
    "write the expression in the workflow": File(federation(EMBEDDED + "defaults: {image: '{{ params.i }}'}\n"), "'{{ params.i }}'", "(expression) in", "i", kind="federation"),
    "write items such as `- {column: age}`": File("column: age\n", "column: age", r"`(.*?)`", kind="sets"),
    "write organizations: [alpha, beta]": File(TEST.replace("organizations: [alpha, beta]\n", "") + "cases: {c: {expect: {status: completed}}}\n", "cases", r"write (organizations: \[.*?\])", "{0}\ncases", kind="test", files=TESTED),
    "write step, or fit[2].step for a round, or table[age].step for an item": File(
        TEST + "cases: {c: {answers: {'p[': {default: {value: 1}}}}}\n", "'p['", "write (step)", "p", kind="test", files=TESTED
    ),
    "the gates are: {}": File(TEST + "cases: {c: {decisions: {p: approve}}}\n", "{p:", r"gates are: (\w+)", "{{0}:", kind="test", files=TESTED),
    "what people decide at a gate stands under `decisions`": File(
        TEST + "cases: {c: {answers: {g: {default: {value: 1}}}}}\n", "answers: {g: {default: {value: 1}}}", r"under `(\w+)`", "{0}: {g: approve}", kind="test", files=TESTED
    ),
    "there are: {}": File(TEST + "cases: {c: {answers: {zzz: {default: {value: 1}}}}}\n", "zzz", r"there are: (\w+)", kind="test", files=TESTED),
    "write approve": File(TEST + "cases: {c: {decisions: {g: approved}}}\n", "approved", r"write (\w+)", kind="test", files=TESTED),
    "write reject": File(TEST + "cases: {c: {decisions: {g: rejected}}}\n", "rejected", r"write (\w+)", kind="test", files=TESTED),
    "write no_answer": File(TEST + "cases: {c: {answers: {p: {alpha: timeout}}}}\n", "timeout", r"write (\w+)", kind="test", files=TESTED),
    "write no_decision": File(TEST + "cases: {c: {decisions: {g: waiting}}}\n", "waiting", r"write (\w+)", kind="test", files=TESTED),
    "`backend: vantage6` is a federation at a server": (),
}

COMMANDS: tuple[str, ...] = ()
ADVICE: dict[str, tuple[str, ...]] = {}
