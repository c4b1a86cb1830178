"""One process for each task run, as many at once as there are processors, without any tool."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

runs = json.loads(Path("runs.json").read_text())


def start(environment):
    # with its parent's PATH and the like, as an image would bring them along
    subprocess.run(runs["command"], env={**os.environ, **environment}, stderr=subprocess.DEVNULL, check=True)


with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(start, runs["environments"]))
