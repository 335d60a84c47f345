"""Versions that are not in BentoML's store: the example's are trained, and of the others it is said how."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ekiben.demo.traffic import DEMO_MODEL, HELD_OUT, TRAINED_HERE
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.screen import Steps
from ekiben.up.launch import Service, without_model
from ekiben.up.processes import Children
from ekiben.up.readiness import how_it_ended


async def train_missing(
    console: Console, children: Children, services: Sequence[Service], root: Path
) -> dict[str, str]:
    """Train the example's versions that are not in the store. Returns the services whose version is still not
    there: name → a line that says what to run. Raises EkibenError when the training fails.
    """
    missing = without_model(services, root, os.environ)
    example = (root / HELD_OUT).is_file()
    ours = [each for each in missing if example and each.model == DEMO_MODEL and each.version in TRAINED_HERE]
    if ours:
        command = [sys.executable, "-P", "-m", "ekiben", "train", DEMO_MODEL]
        for each in ours:
            command += ["--version", each.version]
        with Steps(console) as shown:
            names = ", ".join(each.version for each in ours)
            shown.begin("train", f"training {DEMO_MODEL} {names}: not in the BentoML store yet")
            child = children.start("train", command)
            await asyncio.to_thread(child.process.wait)
            if child.process.returncode != 0:
                raise EkibenError(how_it_ended(child))
            children.forget(child)
            shown.done("train")
    left = {each.module for each in missing if each not in ours}
    return {each.name: _how_to(each, root) for each in services if each.module in left}


def _how_to(service: Service, root: Path) -> str:
    script = Path("training") / service.model / "train.py"
    publish = (
        f"run `python {script}`"
        if (root / script).is_file()
        else f"publish it (ekiben.publishing, name={service.model!r}, version={service.version!r})"
    )
    return (
        f"{service.name} is not published: there is no model {service.stored_model} in the BentoML store; "
        f"{publish} and `ekiben up` again"
    )
