"""The floor of task runs: a warm interpreter forks a child for each, which calls the function and nothing else.

fork_rounds.py ROUNDS ORGANIZATIONS PACKAGE: as many at once as the embedded backend has.
"""

import importlib
import json
import os
import sys

from v6flow.backends.embedded import zygote

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # a process with threads is not to be forked
rounds, organizations, package = sys.argv[1:]
JOBS = max(4, 2 * os.cpu_count())
zygote.warm_up()
state = 0
reader, writer = os.pipe()


def fork():
    if os.fork() == 0:
        result = importlib.import_module(package).count(state)
        os.write(writer, json.dumps(result).encode() + b"\n")  # short enough for a single write
        os._exit(0)


for _ in range(int(rounds)):
    at_work = 0
    for _ in range(int(organizations)):
        if at_work == JOBS:
            os.wait()
            at_work -= 1
        fork()
        at_work += 1
    for _ in range(at_work):
        os.wait()
    results = [json.loads(line) for line in os.read(reader, 1 << 16).splitlines()]
    state += sum(result["n"] for result in results)
print(state)
