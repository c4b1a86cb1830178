"""The floor of a journal: the same rows in the same commits, in a bare loop.

commit_rows.py JOURNAL COMMITS: a journal, and what programs/instant.py has noted of its commits.
"""

import json
import sqlite3
import sys
from pathlib import Path

journal, commits = sys.argv[1:]
rows = iter(sqlite3.connect(journal).execute("SELECT * FROM events ORDER BY seq").fetchall())
floor = sqlite3.connect("floor.sqlite", isolation_level=None)
floor.execute("PRAGMA journal_mode = WAL")
floor.execute(
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT, data TEXT, value TEXT, file TEXT, checksum TEXT)"
)
full = None
for count, durable in json.loads(Path(commits).read_text()):
    if durable != full:
        floor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        full = durable
    floor.execute("BEGIN IMMEDIATE")
    floor.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", [next(rows) for _ in range(count)])
    floor.execute("COMMIT")
print(floor.execute("SELECT count(*) FROM events").fetchone()[0])
floor.close()
