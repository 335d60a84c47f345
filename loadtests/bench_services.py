"""What a model call costs in each service, from parsed rows to answers: `make bench-services`.

No HTTP and no second process: each version's door is opened in this process and asked with held-out rows, as
`/bulk` asks it. Needs the versions of `ekiben train`. Exits with 1 when a call takes longer than it may.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from services import credit_v1, credit_v2, credit_v3

ROOT: Final = Path(__file__).parent.parent
HELD_OUT: Final = ROOT / "training" / "data" / "held_out.jsonl"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- bench-services:begin -->"
END: Final = "<!-- bench-services:end -->"

LIMITS_MS: Final = {1: 0.2, 64: 1.5}
SIZES: Final = (1, 64, 256)
SECONDS_EACH: Final = 0.6
DOORS: Final = {"v1": credit_v1.door, "v2": credit_v2.door, "v3": credit_v3.door}


def measure_ms(door: Any, rows: list[dict[str, Any]], size: int) -> list[float]:
    """Milliseconds of each of many calls with `size` rows, a different stretch of `rows` every time."""
    checked = [row.__dict__ for row in door.rows.check_all(rows)]
    took = []
    end = time.perf_counter() + SECONDS_EACH
    start = 0
    while time.perf_counter() < end:
        batch = checked[start : start + size]
        start = (start + size) % (len(checked) - size)
        begun = time.perf_counter()
        door.scorer.answer(batch)
        took.append((time.perf_counter() - begun) * 1000)
    return took


def machine() -> str:
    """The processor, its cores and the operating system."""
    processor = platform.processor() or platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
            break
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}"


def section(results: dict[str, dict[int, list[float]]]) -> str:
    """The section of the page, in Markdown."""
    packages = ("numpy", "onnxruntime", "torch", "pydantic", "bentoml")
    releases = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    lines = [
        BEGIN,
        "## Model services",
        "",
        "`make bench-services`: the model call of each service, from parsed and checked rows to answers, in",
        "process, one thread. Milliseconds, median / 95th percentile.",
        "",
        f"{machine()}; Python {platform.python_version()}, {releases}; {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| version | " + " | ".join(f"{size} row{'s' * (size > 1)}" for size in SIZES) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for version, by_size in results.items():
        cells = (
            f"{statistics.median(took):.3f} / {np.percentile(took, 95):.3f}" for took in by_size.values()
        )
        lines.append(f"| {version} | " + " | ".join(cells) + " |")
    allowed = ", ".join(f"{limit} ms for {size} row{'s' * (size > 1)}" for size, limit in LIMITS_MS.items())
    return "\n".join([*lines, "", f"Allowed: a median of {allowed}.", END])


def write(text: str) -> None:
    """Put the section into the page, in the place of the one before."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    if BEGIN in page and END in page:
        before, rest = page.split(BEGIN, 1)
        page = before + text + rest.split(END, 1)[1]
    else:
        page = page.rstrip("\n") + "\n\n" + text + "\n"
    PAGE.write_text(page, encoding="utf-8")


def main() -> int:
    """Measure, write the page, and say what is too slow."""
    rows = [json.loads(line)["features"] for line in _lines(HELD_OUT)]
    results = {}
    for version, door in DOORS.items():
        door.open()
        results[version] = {size: measure_ms(door, rows, size) for size in SIZES}
    text = section(results)
    write(text)
    print(text)  # noqa: T201  # this is a command
    too_slow = [
        f"{version}: {statistics.median(results[version][size]):.3f} ms for {size}, {limit} ms allowed"
        for version in results
        for size, limit in LIMITS_MS.items()
        if statistics.median(results[version][size]) > limit
    ]
    for line in too_slow:
        print(line, file=sys.stderr)  # noqa: T201
    return 1 if too_slow else 0


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
