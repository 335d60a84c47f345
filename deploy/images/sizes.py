"""The images' sizes, written into docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.bentos import ROOT
from ekiben.building.bentos import git_revision
from ekiben.building.images.engine import BASE
from ekiben.building.images.image import MIB, Built
from loadtests.bench.machine import today
from loadtests.bench.section import markdown_table, write_section


def record(built: Sequence[Built], engine: str, base_size: int | None) -> None:
    """Write them into their section of docs/benchmarks.md."""
    of_these = f", {base_size / MIB:.0f} MiB of each is the base image `{BASE}`" if base_size else ""
    rows = [
        [
            f"`{one.image.name}`",
            f"{one.size / MIB:.0f} MiB",
            f"{one.image.most_mib} MiB" if one.image.most_mib else "-",
        ]
        for one in built
    ]
    about = (
        f"{today()}, revision {git_revision(ROOT)[:12]}, built with {engine}. Sizes are unpacked{of_these}."
    )
    table = markdown_table(["image", "size", "at most"], rows)
    write_section("images", f"## Container images (`make images`)\n\n{about}\n\n{table}")
