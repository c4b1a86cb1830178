"""A live vantage6 server for the tests of this folder: `live` and `live_encrypted` are its two federations.

It starts when a test first asks for it, once per process. The tests are in two groups, which take about the same time:
with `-n N --dist loadgroup`, two workers start a server each. `V6FLOW_LIVE=0` skips the tests; `V6FLOW_KEEP_LIVE=1`
keeps the folder with the logs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import federation
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

HERE = Path(__file__).parent
FIRST_GROUP = {
    "test_central_live", "test_crashes_live", "test_examples_live", "test_live_federation", "test_secrets_live",
    "test_withheld_live",
}  # fmt: skip
"""The modules of the group `live-1`; all others, and those elsewhere that use the server, are in `live-2`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a group together and first, and skip them where they are not wanted."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.timeout(1200))  # the first of them sets the server's environment up
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("live-1" if item.path.stem in FIRST_GROUP else "live-2"))
        if os.environ.get("V6FLOW_LIVE") == "0":
            item.add_marker(pytest.mark.skip(reason="V6FLOW_LIVE=0: no tests with a real vantage6 server"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)  # what takes longest begins first


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server and the nodes said last when a test fails."""
    report: pytest.TestReport = yield
    if report.failed and HERE in item.path.parents and federation.shared.cache_info().currsize:
        report.sections.append(("live server", federation.shared().tails()))
    return report


def pytest_sessionfinish() -> None:
    """End the server here, where there is time for it."""
    if federation.shared.cache_info().currsize:
        federation.shared().close(keep_folder="V6FLOW_KEEP_LIVE" in os.environ)


@pytest.fixture(scope="session")
def live_server() -> federation.LiveServer:
    """The server, without any node."""
    return federation.shared()


@pytest.fixture
def live(live_server: federation.LiveServer) -> federation.LiveFederation:
    """The unencrypted federation, whole again whatever an earlier test stopped or changed."""
    live_server.plain.start()
    return live_server.plain


@pytest.fixture
def live_encrypted(live_server: federation.LiveServer) -> federation.LiveFederation:
    """The encrypted federation, whole again whatever an earlier test stopped or changed."""
    live_server.encrypted.start()
    return live_server.encrypted
