"""Findings about each organization: its node, what that shares, and what of a plan's needs it does not have."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from v6flow.backends.vantage6 import encryption, policies
from v6flow.backends.vantage6.encryption import KeyProblemError
from v6flow.backends.vantage6.records import moment
from v6flow.core.checks.findings import Finding, ok, warning
from v6flow.core.language.messages import clip
from v6flow.core.language.units import spell
from v6flow.core.language.words import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from v6flow.backends.vantage6.rights import Rights
    from v6flow.backends.vantage6.server_names import Organization, ServerDirectory, ServerNode, User
    from v6flow.core.checks.findings import Need

MOST_NAMED = 10  # names that a sentence lists
_WRONG, _DENIED = 2, 4  # exit codes


def look_over(known: ServerDirectory, may: Rights, needs: Sequence[Need], now: float) -> list[Finding]:
    """The findings on each organization; `now` is in seconds since 1970 UTC.

    Of a node that is offline, or keeps its details to itself, nobody knows what it has, which is no problem.
    """
    found: list[Finding] = []
    if known.nodes is None:
        remedy = "the rule node | view | collaboration lets a user see them"
        message = "this user may not see them: who is online, and which databases and images there are, is not known"
        found.append(warning("nodes", message, remedy))
    for each in known.organizations:
        own = [need for need in needs if each.short in need.organizations]
        found += _key(known, each)
        if known.nodes is not None:
            found += _node(known, each, known.node(each.id), may, own, now)
    return found


def _key(known: ServerDirectory, organization: Organization) -> Iterator[Finding]:
    """Whether what we send can be encrypted for an organization."""
    if not known.collaboration.encrypted:
        return
    try:
        encryption.load_public_key(organization.public_key, organization.short)
    except KeyProblemError as error:
        message = f"cannot be sent anything encrypted: {error.message}"
        yield _problem(organization, message, error.hint)


def _node(
    known: ServerDirectory,
    organization: Organization,
    node: ServerNode | None,
    may: Rights,
    needs: Sequence[Need],
    now: float,
) -> Iterator[Finding]:
    if node is None:
        yield _no_node(known, organization, may)
        return
    standing = _standing(node, now)
    called = "" if organization.name == organization.short else f" (at the server: {clip(organization.name)})"
    if not node.is_online:
        yield warning(
            organization.short,
            f"{standing}{called}: which databases and images it has is not known",
            f"ask {organization.short} to start its node; a step waits for it until its timeout",
            organization=organization.short,
        )
        return
    wrong = [*_users(node, known.user, organization), *_labels(node, organization, needs)]
    wrong += _images(node, organization, needs)
    yield from wrong
    if not wrong:
        message = f"{standing}{called}{_shared(node)}"
        yield ok(organization.short, message, organization=organization.short)


def _no_node(known: ServerDirectory, organization: Organization, may: Rights) -> Finding:
    message = f"has no node in the collaboration {known.collaboration.name}"
    remedy = "the server takes no task for it: register a node for it, or leave it out of the federation file"
    if may.may("node", "view", "collaboration"):
        return _problem(organization, message, remedy)
    message += ", or one that this user does not see"
    return warning(organization.short, message, remedy, organization=organization.short)


def _standing(node: ServerNode, now: float) -> str:
    if node.is_online:
        return "is online"
    if node.last_seen is None:
        return "is offline, and was never seen"
    seen = moment(node.last_seen)
    if seen is None:
        return f"is offline, last seen {clip(node.last_seen)}"
    at = datetime.fromtimestamp(seen, timezone.utc)
    return f"is offline, last seen {spell(max(now - seen, 0.0))} ago ({at:%Y-%m-%d %H:%M} UTC)"


def _shared(node: ServerNode) -> str:
    """What an online node reports about itself."""
    if not node.config:
        return "; it does not report which databases and images it has"
    labels = node.database_labels
    told = f"; databases: {_listed(labels)}" if labels else "; it names no databases"
    patterns = node.config.get("allowed_algorithms", ())
    if not patterns:
        return told
    return told + ("; any image may run" if policies.ALL in patterns else f"; images that may run: {_listed(patterns)}")


def _users(node: ServerNode, user: User, organization: Organization) -> Iterator[Finding]:
    """Whether a node takes tasks of us, by the rule by which the server refuses them."""
    users, organizations = node.config.get("allowed_users", ()), node.config.get("allowed_orgs", ())
    if not users and not organizations:
        return
    ours = {str(user.organization), user.organization_name}
    if str(user.id) in users or ours & {*organizations}:
        return
    if not all(each.isdecimal() for each in users):  # a name there is a case that servers do not agree on
        return
    yield _problem(
        organization,
        f"takes no tasks of {user.username} or of {user.organization_name}, by the configuration of its node",
        f"ask {organization.short} to add user id {user.id} to `allowed_users`, "
        f"or organization id {user.organization} to `allowed_organizations`, in its node's policies",
        code=_DENIED,
    )


def _labels(node: ServerNode, organization: Organization, needs: Sequence[Need]) -> Iterator[Finding]:
    known = node.database_labels
    if not known:
        return
    wanted = dict.fromkeys([label for need in needs for label in need.labels] + list(organization.databases))
    for label in wanted:
        there = organization.databases.get(label, label)
        if there in known:
            continue
        called = there if there == label else f"{there} (for {label})"
        near = suggestion(there, known)
        mapped = f"organizations: {{{organization.short}: {{databases: {{{label}: …}}}}}}"
        yield _problem(
            organization,
            f"has no database {clip(called)}; it has {_listed(known)}",
            (f"{near} " if near else "")
            + (f"the federation file says which of its labels is meant: `{mapped}`" if there == label
               else f"correct `{mapped}` in the federation file"),
            label=label,
        )  # fmt: skip


def _images(node: ServerNode, organization: Organization, needs: Sequence[Need]) -> Iterator[Finding]:
    patterns = node.config.get("allowed_algorithms", ())
    allowed = f"it allows {_listed(patterns)}"
    remedy = f"ask {organization.short} to add it to `allowed_algorithms` in its node's policies, or use another image"
    by_store = {need.image: need.store for need in needs}
    for image, store in by_store.items():
        verdict = policies.allows(patterns, image)
        if verdict is False and not store:
            message = f"does not allow the image {clip(image)}; {allowed}"
            yield _problem(organization, message, remedy, code=_DENIED, image=image)
        elif not verdict:
            why = ", and the algorithm store may count" if store else ""
            message = f"may not allow the image {clip(image)}; {allowed}{why}"
            yield warning(organization.short, message, remedy, organization=organization.short)


def _problem(
    organization: Organization,
    message: str,
    remedy: str | None,
    *,
    code: int = _WRONG,
    image: str | None = None,
    label: str | None = None,
) -> Finding:
    short = organization.short
    return Finding(short, "problem", message, remedy, code, organization=short, image=image, label=label)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(clip(name) for name in names[:MOST_NAMED]) + more
