# SPDX-License-Identifier: Apache-2.0
"""Servers that feeds are pulled from, one of each for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.connectors import servers
from tests.connectors.servers import Origin, Sshd


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with servers.sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with servers.origin(tmp_path_factory.mktemp("origin")) as running:
        yield running
