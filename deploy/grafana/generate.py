"""`python -m deploy.grafana.generate`: write the dashboards that Grafana reads. A test compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deploy.grafana.experiment import EXPERIMENT
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.panels import as_json
from deploy.grafana.version import VERSION

BOARDS: Final = (OVERVIEW, VERSION, EXPERIMENT)
FOLDER: Final = Path(__file__).parent / "dashboards"


def files() -> dict[str, str]:
    """Each file's name and content."""
    return {f"{board.uid}.json": json.dumps(as_json(board), indent=2) + "\n" for board in BOARDS}


def main() -> None:
    """Write them."""
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
