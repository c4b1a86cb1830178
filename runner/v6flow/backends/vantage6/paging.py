"""Reads a list to its end, each item once, even if the pages shift meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from v6flow.backends.vantage6.records import StrangeError, identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from v6flow.backends.vantage6.transport import Response

T = TypeVar("T")

PAGE = 100  # items; a server's own default is 10
MOST_PAGES = 10_000
ROUNDS = 4  # of reading it all again, since something was missing at the end


class Reader(Protocol):
    """What lists are read from: a Session, or what reads as one."""

    def get(
        self, path: str, params: Iterable[tuple[str, str | int]] = (), *, patience: float | None = None
    ) -> Response:
        """Read (see Session.get)."""


def items(
    session: Reader,
    path: str,
    params: Iterable[tuple[str, str | int]] = (),
    *,
    patience: float | None = None,
    per_page: int = PAGE,
) -> list[dict[str, Any]]:
    """All items of a list, in the server's order.

    Something new at the front pushes items to a later page, which shows them twice; something deleted pulls them to a
    page already read, which hides them. If what came is not what the server counts on every page, it is read again.
    Raises StrangeError, and what Session.get raises.
    """
    asked = (*params, ("per_page", per_page))
    for _ in range(ROUNDS):
        found: dict[int, dict[str, Any]] = {}
        counts: set[int] = set()
        for page in range(1, MOST_PAGES + 1):
            answer = session.get(path, (*asked, ("page", page)), patience=patience)
            data, more = _page(answer, path)
            for item in data:
                found[_id(item, path)] = item
            counts |= _count(answer)
            if not more:
                break
        else:
            raise StrangeError(f"the list {path} has no end")
        if counts <= {len(found)}:
            return list(found.values())
    raise StrangeError(f"the list {path} changes faster than it can be read")


def repeatedly(read: Callable[[], T]) -> T:
    """What a read comes to; it is made again at once, ROUNDS times in all, while the answer does not fit the request.

    Raises StrangeError, and what `read` raises.
    """
    for _ in range(ROUNDS - 1):
        try:
            return read()
        except StrangeError:  # noqa: PERF203  each try may fail
            continue
    return read()


def _page(answer: Response, path: str) -> tuple[list[Any], bool]:
    value = answer.value
    if isinstance(value, list):  # as before 4.0
        return value, False
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        links = value.get("links")
        return value["data"], bool(value["data"]) and isinstance(links, dict) and bool(links.get("next"))
    raise StrangeError(f"what the server gives as the list {path} is none")


def _id(item: Any, path: str) -> int:
    number = identifier(item.get("id")) if isinstance(item, dict) else None
    if number is None:
        raise StrangeError(f"the list {path} has an item without an id")
    return number


def _count(answer: Response) -> set[int]:
    """How many items there are in all; nothing where the server does not say."""
    text = answer.headers.get("total-count", "")
    return {int(text)} if text.isascii() and text.isdigit() and len(text) < 10 else set()
