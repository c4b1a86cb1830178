"""The floor: a workflow file by PyYAML's C loader, no validation, the steps in order, two commits a step."""

import graphlib
import json
import re
import sqlite3
from pathlib import Path

import yaml

NEED = re.compile(r"steps\.(\w+)\.result")
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


def compute(value, known):
    """What a value of the shapes that graphs.py makes yields; not an evaluator of expressions."""
    constant, modulus = map(int, NUMBER.findall(value))
    return (sum(known[need] for need in NEED.findall(value)) + constant) % modulus


workflow = yaml.load(Path("workflow.yaml").read_bytes(), Loader=yaml.CSafeLoader)
values = {name: step["local"]["value"] for name, step in workflow["steps"].items()}
order = graphlib.TopologicalSorter({name: NEED.findall(value) for name, value in values.items()}).static_order()
journal = sqlite3.connect("journal.sqlite", isolation_level=None)  # each statement is a commit
journal.execute("PRAGMA journal_mode = WAL")
journal.execute("PRAGMA synchronous = NORMAL")
journal.execute("CREATE TABLE events (sequence INTEGER PRIMARY KEY, kind TEXT, step TEXT, body TEXT)")
INSERT = "INSERT INTO events (kind, step, body) VALUES (?, ?, ?)"
known = {}
for name in order:
    journal.execute(INSERT, ("started", name, "{}"))
    known[name] = compute(values[name], known)
    journal.execute(INSERT, ("completed", name, json.dumps({"value": known[name]})))
journal.close()
ends = [known[NEED.search(end).group(1)] for end in workflow["outputs"]["ends"]]
Path("ends.json").write_text(json.dumps(ends))
