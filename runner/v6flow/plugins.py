"""Plugins: parts of v6flow in other packages, found by the entry points that these declare.

Entry points are read only for a name that v6flow itself does not have: searching all installed packages takes longer
than a whole `validate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v6flow.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginError(UsageError):
    """A plugin cannot be used (exit 2)."""


def names(group: str) -> list[str]:
    """The names that installed packages declare in a group of entry points, sorted."""
    return sorted({each.name for each in _declared(group)})


def load(group: str, name: str) -> object | None:
    """The object behind a name in a group of entry points; None if no installed package declares it.

    Raises PluginError if several packages declare it, or if it cannot be imported.
    """
    found = {each.value: each for each in _declared(group) if each.name == name}
    if not found:
        return None
    packages = " and ".join(sorted({_package(each) for each in found.values()}))
    if len(found) > 1:
        raise PluginError(f"{packages} both declare {name} in {group}", hint="uninstall one of them")
    (only,) = found.values()
    try:
        return only.load()  # type: ignore[no-any-return]  # the reader of the group checks its type
    except Exception as error:  # imported modules may raise anything
        message = (
            f"{name} of the package {packages} cannot be loaded from {only.value}: {type(error).__name__}: {error}"
        )
        raise PluginError(message, hint=f"install a version of {packages} that fits this v6flow") from error


def _declared(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return list(entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"
