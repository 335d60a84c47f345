from __future__ import annotations

from pathlib import Path

import pytest

from tests.control.analysis.events import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Events to be written to a directory and analysed."""
    return Log(str(tmp_path / "events"))
