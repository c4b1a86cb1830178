"""What a user may see and do at a server, as far as the server says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct, field

from v6flow.backends.vantage6 import paging
from v6flow.backends.vantage6.records import StrangeError
from v6flow.backends.vantage6.refusals import AmbiguousError, DeniedError, RefusedError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from v6flow.backends.vantage6.session import Session

Scope: TypeAlias = Literal["own", "organization", "collaboration", "global"]

SCOPES: tuple[Scope, ...] = ("own", "organization", "collaboration", "global")
"""From the narrowest to the widest."""

PATIENCE = 5.0  # seconds that are spent on learning what can be done without
RULES = 1000  # on a page; a server of 4.15 has 86
_SHORT: dict[str, Scope] = {each[:3]: each for each in SCOPES}  # how a server's database spells them
_OPERATIONS = {"v": "view", "e": "edit", "c": "create", "d": "delete", "s": "send", "r": "receive"}


class Rights(Struct, frozen=True):
    """The widest scope of each right, by resource and operation; `whole`: there are no others for certain."""

    scopes: Mapping[tuple[str, str], Scope] = field(default_factory=dict)
    whole: bool = False

    def scope(self, resource: str, operation: str) -> Scope | Literal["unknown"] | None:
        """The widest scope of a right, as `scope("task", "view")`; None if the user does not have it.

        Where not all rights are known, a scope is at least that wide, and what is not known to be there is unknown.
        """
        found = self.scopes.get((resource, operation))
        if found is None:
            return None if self.whole else "unknown"
        return found

    def may(self, resource: str, operation: str, scope: Scope) -> bool | None:
        """Whether the user has a right of that scope or a wider one, None if it is not known."""
        found = self.scopes.get((resource, operation))
        if found is not None and SCOPES.index(found) >= SCOPES.index(scope):
            return True
        return False if self.whole else None


UNKNOWN = Rights()


def read(session: Session) -> Rights:
    """What the user who is logged in may see and do, in two requests.

    The user's own page numbers all rules that the user has, by roles or directly. A server that does not number them
    lists rules by user, and that list lacks rules that the user has directly and nobody has by a role.
    Raises AccessError, UnreachableError.
    """
    user = session.user_id()
    try:
        numbers = _numbers(session.get(f"/user/{user}", [("include_permissions", "true")], patience=PATIENCE).value)
        wanted = [("user_id", user)] if numbers is None else []
        rules = paging.items(session, "/rule", wanted, patience=PATIENCE, per_page=RULES)
    except (RefusedError, DeniedError, StrangeError, TooLargeError):
        return UNKNOWN
    except AmbiguousError as error:
        if error.status is None:
            raise
        return UNKNOWN  # it answers, but not this
    if numbers is None:
        return Rights(_widest(rules))
    held = [rule for rule in rules if rule["id"] in numbers]
    return Rights(_widest(held), whole=len(held) == len(numbers))


def _numbers(user: Any) -> frozenset[int] | None:
    """The ids of a user's rules, None if the server does not report them."""
    permissions = user.get("permissions") if isinstance(user, dict) else None
    rules = permissions.get("rules") if isinstance(permissions, dict) else None
    if not isinstance(rules, list):
        return None
    return frozenset(each for each in rules if isinstance(each, int))


def _widest(rules: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Scope]:
    found: dict[tuple[str, str], Scope] = {}
    for rule in rules:
        scope = _SHORT.get(str(rule.get("scope")).lower()[:3])
        if scope is None:
            continue
        operation = str(rule.get("operation")).lower()
        right = (str(rule.get("name")), _OPERATIONS.get(operation, operation))
        if right not in found or SCOPES.index(scope) > SCOPES.index(found[right]):
            found[right] = scope
    return found
