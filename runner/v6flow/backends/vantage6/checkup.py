"""Looks a federation at a server over, from its address to what each node shares, as far as one can get."""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from v6flow.backends.vantage6 import connecting, descriptions, dialects, members, paging, rights, server_names, sockets
from v6flow.backends.vantage6.second_factor import PERSON
from v6flow.backends.vantage6.server_names import ServerDirectory
from v6flow.backends.vantage6.session import Session
from v6flow.backends.vantage6.transport import Limits
from v6flow.core.checks import declarations, findings
from v6flow.core.checks.findings import Finding, ok, warning
from v6flow.core.language.messages import choice
from v6flow.core.language.problem import InvalidError
from v6flow.core.language.units import spell
from v6flow.errors import FederationError, V6flowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from v6flow.backends.base import Planner
    from v6flow.backends.vantage6.configuration import ServerFederation
    from v6flow.backends.vantage6.connecting import Connected
    from v6flow.backends.vantage6.dialects import Version
    from v6flow.backends.vantage6.rights import Rights
    from v6flow.backends.vantage6.second_factor import Person
    from v6flow.backends.vantage6.server_names import Collaboration, User
    from v6flow.backends.vantage6.tokens import Credentials
    from v6flow.backends.vantage6.transport import Transport
    from v6flow.core.directory import Directory
    from v6flow.core.planning.plan import Plan

MOST_SKEW = 30.0  # seconds that clocks may differ: as long as a one-time code is valid
NEWEST = (4, 15)  # that v6flow was tried with
HURRY = Limits(connect=5.0, silence=20.0, total=60.0, patience=1.5)  # who looks for a fault does not wait it out
SUBJECTS = ("server", "log-in", "rights", "collaboration", "organizations")
"""What is looked at, in this order: each needs those before it."""

_WRONG = 2  # the exit code of what is wrong in a workflow
_DENIED = 4  # the exit code of a right that is missing


def preflight(
    connected: Connected, plan: Plan | None, *, allow_http: bool = False, now: Callable[[], float] = time.time
) -> list[Finding]:
    """Findings about a connected server, yet to be weighed by the plan. Raises AccessError, UnreachableError."""
    known, session = connected.directory, connected.session
    version = connected.api.dialect.version
    found = [*_server(session.transport, version, now), _user(known.user)]
    may = rights.read(session)
    found += [*_rights(may, plan), _collaboration(known.collaboration)]
    found += _membership(session, known, may)
    if known.collaboration.encrypted:
        found.append(_key_fits(known.user))  # nobody is connected with a key that does not fit
    if plan is not None:
        found += _central(session, known, plan, allow_http=allow_http)
    return found + members.look_over(known, may, findings.needs(plan), now())


def examine(
    federation: ServerFederation,
    *,
    plan: Planner | None = None,
    limits: Limits = HURRY,
    environ: Mapping[str, str] = os.environ,
    person: Person | None = PERSON,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Findings about a federation, whatever is wrong with it. A log-in that fails is not tried again.

    `plan` makes the plan that they are weighed by.
    """
    examination = _Examination(federation, now)
    try:
        transport = connecting.transport_to(federation, limits=limits, environ=environ, clock=clock, sleep=sleep)
        try:
            credentials = connecting.credentials(federation, environ)
            return examination.through(
                transport, lambda there: Session(there, credentials, person=person, clock=clock, now=now), plan
            )
        finally:
            transport.close()
    except V6flowError as error:
        return examination.stopped(error, connecting.credentials(federation, environ))


class _Examination:
    """Goes through all that there is to look at; `found` is what it came to so far, and `subject` where it is."""

    def __init__(self, federation: ServerFederation, now: Callable[[], float]) -> None:
        self._federation = federation
        self._now = now
        self.subject = SUBJECTS[0]
        self.found: list[Finding] = []
        self._may: Rights | None = None

    def through(
        self,
        transport: Transport,
        log_in: Callable[[Transport], Session],
        make: Planner | None,
    ) -> list[Finding]:
        """All findings. Raises what stops it."""
        federation = self._federation
        transport, version = dialects.find_server(transport)
        self.found += _server(transport, version, self._now)
        self.subject = "log-in"
        session = log_in(transport)
        user = server_names.read_user(session)
        self.found.append(_user(user))
        self.subject = "rights"
        may = self._may = rights.read(session)
        self.subject = "collaboration"
        collaboration = server_names.find_collaboration(session, federation.collaboration)
        self.found.append(_collaboration(collaboration))
        study = None
        if federation.study is not None:
            study = server_names.find_study(session, federation.study, collaboration)
        self.subject = "organizations"
        known = ServerDirectory(
            str(transport.address),
            user,
            collaboration,
            study,
            server_names.find_organizations(session, federation.organizations, collaboration, study),
            server_names.read_nodes(session, collaboration),
            defaults=federation.defaults,
        )
        self.found += _key(federation, known)
        plan = self._plan(session, known, make) if make is not None else None
        self.found += _rights(may, plan)
        self.found += _membership(session, known, may)
        self.found += members.look_over(known, may, findings.needs(plan), self._now())
        if plan is not None:
            self.found += _central(session, known, plan, allow_http=federation.allow_http)
        return self.found if plan is None else findings.weigh(plan, self.found)

    def stopped(self, error: V6flowError, credentials: Credentials) -> list[Finding]:
        """All findings up to where an error stopped it; what the log-in lacks is told though it was not come to."""
        told = [*self.found, findings.of_error(self.subject, error)]
        if self.subject in SUBJECTS[: SUBJECTS.index("log-in") + 1]:
            unset = {each.message: each for secret in credentials.secrets if (each := secret.unset()) is not None}
            told += [findings.of_error("log-in", each) for each in unset.values() if each.message != error.message]
        if self._may is not None:
            told += _rights(self._may, None)
        left = SUBJECTS[SUBJECTS.index(self.subject) + 1 :]
        return [*told, warning("not checked", choice(left, "and"))] if left else told

    def _plan(self, session: Session, known: ServerDirectory, make: Planner) -> Plan | None:
        """The plan, None if there can be none, which is then found."""

        def look(*, studies: bool = False, stores: bool = False) -> Directory:
            whole = replace(
                known,
                studies=server_names.read_studies(session, known) if studies else None,
                stores=server_names.read_stores(session, known.collaboration) if stores else None,
            )
            return whole.directory()

        try:
            return make(look)
        except InvalidError as error:
            self.found += findings.of_problems("workflow", error)
        except FederationError as error:
            self.found.append(findings.of_error("workflow", error))
        return None


def _server(transport: Transport, version: Version, now: Callable[[], float]) -> Iterator[Finding]:
    """Which server it is, and how right its clock and ours are."""
    named = f"{transport.address} is vantage6 {version.text}"
    if version.numbers[:2] > NEWEST:
        newest = ".".join(map(str, NEWEST))
        yield warning("server", f"{named}; this v6flow was tried with versions up to {newest}")
    else:
        yield ok("server", named)
    if transport.address.scheme == "http" and not transport.address.is_here:
        yield warning(
            "server", "what is sent can be read on the way (plain http)", "use https:// unless the network is safe"
        )
    date = transport.get("/version").headers.get("date", "")
    try:
        ahead = parsedate_to_datetime(date).timestamp() - now()
    except (TypeError, ValueError, IndexError, OverflowError, OSError):
        yield ok("clock", "the server does not report the time")
        return
    if abs(ahead) <= MOST_SKEW:
        yield ok("clock", "this machine and the server agree on the time")
    else:
        yield warning(
            "clock",
            f"this machine is {spell(abs(ahead))} {'behind' if ahead > 0 else 'ahead of'} the server",
            "set the clock (NTP): two-factor codes fail, and deadlines are judged by this machine's",
        )


def _user(user: User) -> Finding:
    return ok("log-in", f"as {user.username} of {user.organization_name}")


def _collaboration(collaboration: Collaboration) -> Finding:
    encrypted = "encrypted" if collaboration.encrypted else "not encrypted"
    return ok("collaboration", f"{collaboration.name} (id {collaboration.id}) is {encrypted}")


def _key(federation: ServerFederation, known: ServerDirectory) -> Iterator[Finding]:
    """Whether our private key is there and fits."""
    if not known.collaboration.encrypted:
        return
    try:
        connecting.private_key(federation, known)
    except FederationError as error:
        yield findings.of_error("private key", error)
        return
    yield _key_fits(known.user)


def _key_fits(user: User) -> Finding:
    return ok("private key", f"it belongs to the public key that the server has of {user.organization_name}")


def _rights(may: Rights, plan: Plan | None) -> Iterator[Finding]:
    """What this user may do, each lack by itself."""
    wanted = (("task", "create"), ("task", "view"), ("run", "view"), ("event", "receive"), ("event", "send"))
    if not may.whole and not all(may.may(*right, "collaboration") for right in wanted):
        yield warning(
            "rights", "the server does not report what this user may do: a missing right shows only when it is used"
        )
        return
    lacks = [*_needed_rights(may), *_useful_rights(may, plan)]
    yield from lacks
    if not lacks:
        hears = "" if sockets.is_possible() else " (but v6flow polls: python-socketio is not installed)"
        yield ok(
            "rights",
            f"this user may create and kill tasks, see the runs of all organizations, and gets events of them{hears}",
        )


def _needed_rights(may: Rights) -> Iterator[Finding]:
    if not may.may("task", "create", "collaboration"):
        yield _denied("this user may not create tasks in the collaboration", "task | create | collaboration")
    seen = [what for what in ("task", "run") if may.scope(what, "view") is None]
    if seen:
        rule = " and ".join(f"{what} | view | collaboration" for what in seen)
        yield _denied(f"this user may not see {choice([f'{what}s' for what in seen])}, so no results", rule)


def _useful_rights(may: Rights, plan: Plan | None) -> Iterator[Finding]:
    if may.scope("run", "view") == "organization":
        yield _lack(
            "the server lists only runs of this user's own organization; v6flow finds the others by their task",
            "run | view | collaboration",
        )
    steps = plan.tasks() if plan is not None else []
    central = [step.common.name for step in steps if step.central and step.subtasks == "fail"]
    if may.scope("task", "view") in ("own", "organization") and (steps or plan is None):
        told = "this user does not see whom a central function asks, nor who of them answers"
        if central:
            yield _denied(f"{told}: step {choice(central, 'and')} would fail", "task | view | collaboration")
        else:
            unseen = "" if plan is None else ", so that one in a step that does not say `central: true` goes unnoticed"
            yield _lack(told + unseen, "task | view | collaboration")
    if not may.may("event", "receive", "collaboration"):
        yield _lack(
            "this user gets no events of other organizations' runs, so v6flow polls", "event | receive | collaboration"
        )
    if not may.may("event", "send", "collaboration"):
        yield _lack(
            "this user may not kill tasks: cancelled and late tasks continue at the nodes",
            "event | send | collaboration",
        )


def _central(session: Session, known: ServerDirectory, plan: Plan, *, allow_http: bool) -> Iterator[Finding]:
    """The steps that call a central function and do not say so, by the stores that they name."""
    named = {step.common.name for step in plan.tasks() if step.store is not None}
    if not named:
        return
    if known.stores is None:
        known = replace(known, stores=server_names.read_stores(session, known.collaboration))
    for step, misfit in descriptions.compared(session, known, plan, allow_http=allow_http):
        if misfit.rule == declarations.CENTRAL and step.common.name in named:
            status: findings.Status = "problem" if misfit.severity == "error" else "warning"
            code = _WRONG if status == "problem" else 0
            yield Finding(f"step {step.common.name}", status, misfit.message, misfit.hint, code)


def _membership(session: Session, known: ServerDirectory, may: Rights) -> Iterator[Finding]:
    """Whether our own organization is in the collaboration, without which no right is of use."""
    user = known.user
    if user.organization in known.by_id() or may.scope("collaboration", "view") != "global":
        return  # others see the collaborations of their own organization only
    ours = paging.items(session, "/collaboration", [("organization_id", user.organization)])
    if not any(each["id"] == known.collaboration.id for each in ours):
        yield Finding(
            "collaboration",
            "problem",
            f"{user.organization_name}, the organization of {user.username}, is not in {known.collaboration.name}: "
            "the server takes no tasks from it",
            "log in as a user of an organization that is",
            _DENIED,
        )


def _denied(message: str, rule: str) -> Finding:
    return Finding("rights", "problem", message, _ask(rule), _DENIED)


def _lack(message: str, rule: str) -> Finding:
    return warning("rights", message, _ask(rule))


def _ask(rule: str) -> str:
    return f"an administrator of the server gives the rule {rule}"
