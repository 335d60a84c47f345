"""A model store that is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bentoml._internal.configuration.containers import BentoMLContainer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """An empty model store; its folder."""
    before = BentoMLContainer.model_store.get()
    (tmp_path / "models").mkdir()
    BentoMLContainer.model_store.set(type(before)(tmp_path / "models"))
    yield tmp_path / "models"
    BentoMLContainer.model_store.set(before)
