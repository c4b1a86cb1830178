"""The floor of a `foreach` step with values: jinja2's compiled expression, two rows an item, commits as v6flow's.

loop_items.py ITEMS BATCH: so many items at once, each with a row for its step and one for itself.
"""

import json
import sqlite3
import sys

import jinja2

items, batch = map(int, sys.argv[1:])
journal = sqlite3.connect("floor.sqlite", isolation_level=None)
journal.execute("PRAGMA journal_mode = WAL")
journal.execute("PRAGMA synchronous = NORMAL")
journal.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT, data TEXT, value TEXT)")
INSERT = "INSERT INTO events (kind, data, value) VALUES (?, ?, ?)"


def commit(kind, rows):
    journal.execute("BEGIN IMMEDIATE")
    journal.executemany(INSERT, [(kind, json.dumps({"item": item}), json.dumps(value)) for item, value in rows])
    journal.execute("COMMIT")


double = jinja2.Environment().compile_expression("item * 2")
results = []
for start in range(0, items, batch):
    values = [(item, double(item=item)) for item in range(start, min(start + batch, items))]
    commit("computed", values)
    commit("ended", values)
    results += [value for _, value in values]
journal.close()
print(sum(results))
