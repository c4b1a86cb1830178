"""The time to replay a journal to the state of its run, compared with only reading and parsing its rows.

replay_rows.py JOURNAL: prints the seconds of both, in this process.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path

from v6flow.core.execution.state import replay
from v6flow.stores.folder import rows


def ours():
    return len(replay(rows.read(journal)).steps)


def floor():
    rows = sqlite3.connect(journal).execute("SELECT * FROM events ORDER BY seq").fetchall()
    return len([(json.loads(row[2]), json.loads(row[3] or "null")) for row in rows])


def seconds(what):
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


journal = Path(sys.argv[1])
ours(), floor()  # imports what they need
print(json.dumps({"replay": seconds(ours), "rows": seconds(floor)}))
