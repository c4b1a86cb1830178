"""Earlier runs of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Container, Iterator

    from v6flow.core.execution.state import RunState
    from v6flow.runs.active import ActiveRun
    from v6flow.stores.base import RunStore, StoredRun


def unfinished(store: RunStore, workflow: str) -> list[tuple[StoredRun, RunState]]:
    """The unfinished runs of the workflow with this name, newest first."""
    return [(folder, state) for folder, state in earlier(store, workflow, over=False) if not state.over]


def earlier(
    store: RunStore, workflow: str, *, over: bool, known: Container[str] = ()
) -> Iterator[tuple[StoredRun, RunState]]:
    """The runs of the workflow with this name except `known`, newest first; finished runs only with `over`."""
    from v6flow.core.execution.state import replay
    from v6flow.errors import JournalError
    from v6flow.stores.run_ids import run_prefix

    prefix = run_prefix(workflow)
    for name in store.runs():
        folder = store.find(name) if name.startswith(prefix) and name not in known else None
        if folder is None or (folder.over and not over):
            continue
        try:
            state = replay(folder.events())
        except JournalError:
            continue  # commands about this run report it
        if state.run and state.workflow == workflow:
            yield folder, state


def tell_unfinished(folder: StoredRun, arguments: argparse.Namespace) -> None:
    """Report an unfinished run and how to resume it."""
    from v6flow.cli import show
    from v6flow.reporters.prose import resume_command

    holder = folder.holder()
    if holder is not None:
        message = f"run {folder.id} of this workflow is still running ({holder})"
    else:
        command = resume_command(folder.id, arguments.store or "")
        message = f"run {folder.id} of this workflow is unfinished; {command} resumes it"
    show.lines([f"note: {message}"])


def resumed(folder: StoredRun, arguments: argparse.Namespace) -> ActiveRun | None:
    """An unfinished run, ready to continue; None, with a note, if its files have changed. Raises HeldError."""
    from v6flow.cli import show
    from v6flow.errors import ResumeError
    from v6flow.reporters.terminal import plain
    from v6flow.runs.opened import open_run
    from v6flow.runs.resume import resume

    opened = open_run(folder)
    try:
        return resume(opened, jobs=arguments.jobs)
    except ResumeError as error:
        opened.close()
        show.lines([plain(f"note: {error.message}; a new run starts", keep_newlines=True)])
        return None
    except BaseException:
        opened.close()
        raise
