"""The images' sizes, written into docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.bentos import git_revision
from deploy.images.catalogue import MIB, Image
from deploy.images.engine import BASE
from loadtests.bench.machine import today
from loadtests.bench.section import markdown_table, write_section


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built: of which Bento, its size in bytes, how long it took."""

    image: Image
    bento: str
    size: int
    seconds: float


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
    about = f"{today()}, revision {git_revision()[:12]}, built with {engine}. Sizes are unpacked{of_these}."
    table = markdown_table(["image", "size", "at most"], rows)
    write_section("images", f"## Container images (`make images`)\n\n{about}\n\n{table}")
