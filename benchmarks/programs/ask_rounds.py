"""The embedded backend alone: in each iteration every organization is asked and answers. No engine, no journal.

ask_rounds.py ROUNDS IMAGE METHOD
"""

import json
import queue
import sys
from pathlib import Path

from v6flow import loading
from v6flow.backends.base import Answered, Failed
from v6flow.backends.embedded.backend import EmbeddedBackend
from v6flow.core.execution.commands import TaskRequest

rounds, image, method = sys.argv[1:]
federation = loading.read_federation("federation.yaml")
names = [organization.name for organization in federation.organizations]
folder = Path("run").absolute()  # task runs work elsewhere
folder.mkdir()
backend = EmbeddedBackend(federation, folder)
inbox = queue.SimpleQueue()
backend.open(inbox.put)
state = 0
for number in range(int(rounds)):
    for name in names:  # one request for each, as in v6flow
        request = TaskRequest(f"{number}/{name}", "part", 1, image, method, {name: {"state": state}})
        backend.submit(request, again=False)
    results = []
    while len(results) < len(names):
        report = inbox.get()
        if isinstance(report, Failed):
            sys.exit(report.message)
        if isinstance(report, Answered):
            results.append(json.loads(report.body))
    state += sum(result["n"] for result in results)
backend.close()
print(state)
