"""Compare v6flow with other tools: `python benchmarks/run.py`, or `make bench`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import experiments
import peers
import report
import rounds
import server
from measure import CommandFailedError

WORK = peers.HERE / ".work"
ROUNDS = "rounds"  # needs no peers
SERVER = "server"  # needs no peers, but a vantage6 server
REPEAT = 5
QUICK_REPEAT = 2


def main() -> int:
    arguments = _arguments()
    beside_peers = any(name not in (ROUNDS, SERVER) for name in arguments.only)
    try:
        if beside_peers:
            peers.set_up()
    except subprocess.CalledProcessError as error:
        print(f"error: the peers could not be set up: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    bench = _bench(arguments)
    size = server.QUICK if arguments.quick else server.FULL
    size = replace(size, rounds=arguments.repeat or size.rounds)
    measured = dict(experiments.EXPERIMENTS)
    measured[ROUNDS] = partial(rounds.experiment, size=rounds.QUICK if arguments.quick else rounds.FULL)
    measured[SERVER] = partial(server.experiment, size=size)
    rows: list[report.Row] = []
    try:
        if beside_peers:
            report.progress("comparing what the tools yield …")
            experiments.agree(bench)
        for name in arguments.only:
            report.progress(f"{name} …")
            found = list(measured[name](bench))
            if arguments.quick:
                found = [replace(row, limit=None, ceiling=None) for row in found]
            print(f"\n{report.text(found)}\n" if found else "", flush=True)
            rows += found
    except (peers.WrongAnswerError, CommandFailedError) as error:
        print(f"error: {error}\n  what it left is in {WORK}", file=sys.stderr)
        return 1
    for note in bench.notes:
        print(f"note: {note}")
    if arguments.markdown is not None:
        versions = {"v6flow": _version(bench), **peers.versions()}
        text = report.markdown(rows, versions=versions, repeat=bench.repeat, notes=bench.notes)
        arguments.markdown.write_text(text, encoding="utf-8")
    shutil.rmtree(WORK)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*experiments.EXPERIMENTS, ROUNDS, SERVER]
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--quick", action="store_true", help="small graphs and few rounds: to see that all works")
    parser.add_argument("--repeat", type=int, metavar="N", help=f"rounds (built in: {REPEAT}; quick: {QUICK_REPEAT})")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there")
    return parser.parse_args()


def _bench(arguments: argparse.Namespace) -> experiments.Bench:
    if arguments.quick:
        bench = experiments.Bench(WORK, arguments.repeat or QUICK_REPEAT, 200, 600, luigi_most=200, rounds={2: 3, 4: 3})
        bench.notes.append("Quick: the graphs are too small to judge by the targets.")
        return bench
    bench = experiments.Bench(WORK, arguments.repeat or REPEAT, 1_000, 10_000, luigi_most=1_000, rounds={3: 11, 50: 5})
    bench.notes.append(
        f"luigi is given no more than {bench.luigi_most:,} steps: its time grows with their square or faster."
    )
    return bench


def _version(bench: experiments.Bench) -> str:
    command = [*bench.v6flow.command, "--version"]
    told = subprocess.run(command, env=bench.v6flow.environment, capture_output=True, text=True, check=True)
    return told.stdout.split()[-1]


if __name__ == "__main__":
    sys.exit(main())
