"""What a model call costs in each service, from parsed rows to answers: `make bench-services`.

No HTTP and no second process: each version's door is opened in this process and asked with held-out rows, as
`/bulk` asks it. Needs the versions of `ekiben train`. Exits with 1 when a call takes longer than it may.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Final

import numpy as np

from ekiben.serving.kernel import Kernel
from ekiben.serving.models.loading import load_published
from ekiben.serving.store import LatestModel, check
from loadtests.bench.machine import describe_machine, describe_versions, today
from loadtests.bench.section import markdown_table, write_section
from loadtests.bench.streams import HELD_OUT, Row, read_rows
from services.credit.net import load_credit_net
from services.credit.schema import OUTPUT, Applicant

PACKAGES: Final = ("numpy", "onnxruntime", "torch", "pydantic", "bentoml")
LIMITS_MS: Final = {1: 0.2, 64: 1.5}
SIZES: Final = (1, 64, 256)
SECONDS_EACH: Final = 0.6
LOADERS: Final = {"v1": load_published, "v2": load_published, "v3": load_credit_net}


def measure_ms(kernel: Kernel, rows: list[Row], size: int) -> list[float]:
    """Milliseconds of each of many calls with `size` rows, a different stretch of `rows` every time."""
    checked = [row.__dict__ for row in kernel.rows.check_each(rows)]
    took = []
    end = time.perf_counter() + SECONDS_EACH
    start = 0
    while time.perf_counter() < end:
        batch = checked[start : start + size]
        start = (start + size) % (len(checked) - size)
        begun = time.perf_counter()
        kernel.scorer.answer(batch)
        took.append((time.perf_counter() - begun) * 1000)
    return took


def section(results: dict[str, dict[int, list[float]]]) -> str:
    """The section of the page, in Markdown."""
    rows = [
        [
            version,
            *(f"{statistics.median(took):.3f} / {np.percentile(took, 95):.3f}" for took in sizes.values()),
        ]
        for version, sizes in results.items()
    ]
    table = markdown_table(["version", *map(_rows, SIZES)], rows, numbers_from=4)
    allowed = ", ".join(f"{limit} ms for {_rows(size)}" for size, limit in LIMITS_MS.items())
    return f"""## Model services

`make bench-services`: the model call of each service, from parsed and checked rows to answers, in
process, one thread. Milliseconds, median / 95th percentile.

{describe_machine()}; {describe_versions(PACKAGES)}; {today()}.

{table}

Allowed: a median of {allowed}."""


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count > 1)}"


def main() -> int:
    """Measure, write the page, and say what is too slow."""
    rows = read_rows(HELD_OUT)
    results = {}
    for version, load in LOADERS.items():
        kernel = Kernel(load(check(LatestModel(f"credit_{version}"))), Applicant, OUTPUT)
        results[version] = {size: measure_ms(kernel, rows, size) for size in SIZES}
    text = section(results)
    write_section("bench-services", text)
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


if __name__ == "__main__":
    sys.exit(main())
