"""What is asked of the process that holds a run: files in the run's folder, and a signal that wakes the process."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from v6flow.errors import JournalError
from v6flow.stores.base import CancelRequest, DecisionRequest
from v6flow.stores.folder import files
from v6flow.stores.folder.lock import CANCEL_SIGNAL, signal_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from v6flow.stores.base import Holder, Request

CANCEL = "cancel"
DECISION = "decision-"  # and the gate's name


class FolderRequests:
    """The Requests of a run in a folder."""

    def __init__(self, folder: Path, lock: Path, write: Callable[[str, bytes], None]) -> None:
        """`write` puts a file of a name in place in the folder, whole or not at all."""
        self._folder, self._lock, self._write = folder, lock, write

    def post(self, request: Request) -> Holder | None:
        """See Requests."""
        self._write(_name(request), json.dumps(asdict(request)).encode("ascii"))
        return signal_holder(self._lock)

    def pending(self) -> list[Request]:
        """See Requests."""
        cancel = self._cancel()
        found: list[Request] = [cancel] if cancel is not None else []
        for path in sorted(self._folder.glob(f"{DECISION}*")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(DecisionRequest(**json.loads(files.read_whole(path))))
        return found

    def forget(self, request: Request) -> None:
        """See Requests."""
        (self._folder / _name(request)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def listen(self, heard: Callable[[], None]) -> Iterator[None]:
        """See Requests; Python hands signals to the main thread only, and what was ignored before stays so."""
        before = signal.getsignal(CANCEL_SIGNAL)
        if threading.current_thread() is not threading.main_thread() or before == signal.SIG_IGN:
            yield
            return
        signal.signal(CANCEL_SIGNAL, lambda _number, _frame: heard())
        try:
            yield
        finally:
            signal.signal(CANCEL_SIGNAL, before if before is not None else signal.SIG_DFL)

    def _cancel(self) -> CancelRequest | None:
        path = self._folder / CANCEL
        try:
            body = files.read_whole(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror}") from error
        try:
            request = json.loads(body)
            return CancelRequest(str(request["by"]), float(request["at"]), str(request.get("via", "")))
        except (ValueError, KeyError, TypeError):
            return CancelRequest()  # damaged, but somebody did ask


def _name(request: Request) -> str:
    return CANCEL if isinstance(request, CancelRequest) else f"{DECISION}{request.step}"
