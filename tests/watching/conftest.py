"""One installation for all tests of what is seen of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watching.station import EXPERIMENT, Station


@pytest.fixture(scope="package")
def station(home: Path) -> Iterator[Station]:
    """It runs, has had traffic, and its experiment has a report on labels."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed")
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        station = Station(Path(folder), home)
        try:
            station.start()
            station.send(3)
            station.until(f'count(ml_model_roc_auc{{experiment="{EXPERIMENT}"}}) == 2')
            # Prometheus has looked in between: from now on everything that counts is seen to rise.
            station.send(1, fresh=True)
            station.send(1)
            yield station
        finally:
            station.stop()
