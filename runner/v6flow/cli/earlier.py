"""The runs of a workflow that were begun before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Container, Iterator

    from v6flow.core.execution.state import RunState
    from v6flow.stores.folder.store import RunFolder, Store


def unfinished(store: Store, workflow: str) -> list[tuple[RunFolder, RunState]]:
    """The unfinished runs of a workflow of this name, newest first."""
    return [(folder, state) for folder, state in earlier(store, workflow, over=False) if not state.over]


def earlier(
    store: Store, workflow: str, *, over: bool, known: Container[str] = ()
) -> Iterator[tuple[RunFolder, RunState]]:
    """The runs of a workflow of this name, newest first, but for those known; with those that are over, if wanted."""
    from v6flow.core.execution.state import replay
    from v6flow.errors import JournalError
    from v6flow.stores.folder.store import run_id

    prefix = run_id(workflow, 0, "aaaa")[: -len("-19700101-0000-aaaa")] + "-"
    for name in store.runs():
        folder = store.find(name) if name.startswith(prefix) and name not in known else None
        if folder is None or (folder.over and not over):
            continue
        try:
            state = replay(folder.events())
        except JournalError:
            continue  # it is named when somebody asks for it
        if state.run and state.workflow == workflow:
            yield folder, state


def tell_unfinished(folder: RunFolder, arguments: argparse.Namespace) -> None:
    """Name an unfinished run, with what to do about it."""
    from v6flow.cli import show
    from v6flow.reporters.summary import resume_command

    holder = folder.holder()
    if holder is not None:
        told = f"run {folder.id} of this workflow is going on ({holder})"
    else:
        command = resume_command(folder.id, arguments.store or "")
        told = f"run {folder.id} of this workflow is unfinished; {command} takes it up"
    show.lines([f"note: {told}"])
