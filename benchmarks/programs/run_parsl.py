"""parsl: one app for each step on a thread pool, each result stored at once, so that a killed run can continue."""

import json
import os
from pathlib import Path

import parsl
from parsl.config import Config
from parsl.dataflow.memoization import BasicMemoizer
from parsl.executors.threads import ThreadPoolExecutor

GRAPH = json.loads(Path("graph.json").read_text())
computed = []


@parsl.python_app(cache=True)
def compute(name, constant, *needed):  # the name, because stored results are found by the arguments
    computed.append(name)
    return (sum(needed) + constant) % GRAPH["modulus"]


config = Config(
    executors=[ThreadPoolExecutor(max_threads=os.cpu_count() or 1)],
    memoizer=BasicMemoizer(checkpoint_mode="task_exit"),  # reuses the stored results of earlier runs in this folder
    strategy="none",
    initialize_logging=False,
)
with parsl.load(config):
    futures = {}
    for name, needs, constant in GRAPH["steps"]:
        futures[name] = compute(name, constant, *[futures[need] for need in needs])
    ends = [futures[name].result() for name in GRAPH["ends"]]
Path("ends.json").write_text(json.dumps(ends))
Path("computed.json").write_text(json.dumps(len(computed)))
