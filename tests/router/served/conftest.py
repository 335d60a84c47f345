"""Model services for real routers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.router.running import ModelServer, write_experiments


@pytest.fixture
def v1() -> Iterator[ModelServer]:
    service = ModelServer("v1")
    yield service
    service.close()


@pytest.fixture
def v2() -> Iterator[ModelServer]:
    service = ModelServer("v2")
    yield service
    service.close()


@pytest.fixture
def folder(tmp_path: Path, v1: ModelServer, v2: ModelServer) -> Path:
    """A folder with the experiments of `credit` over both services: the place of a router."""
    write_experiments(tmp_path, {"v1": v1, "v2": v2})
    return tmp_path
