"""What `ekiben up` says on its terminal of the experiments file while everything runs."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Final

from rich.console import Console

from ekiben.clients.controller import ControllerClient
from ekiben.showing.standing import file_lines
from ekiben.terminal.errors import EkibenError

_LOOK_S: Final = 1.0


async def tell_of_file(console: Console, controller_url: str) -> None:
    """Print how the experiments file stands whenever that becomes another thing, until cancelled."""
    client = ControllerClient(controller_url, os.environ)
    printed: tuple[str, ...] = ()
    while True:
        with suppress(EkibenError):  # it starts or stops: the next look prints it
            standing = (await asyncio.to_thread(client.status))["file"]
            if standing is not None and (lines := file_lines(standing)) != printed:
                said = lines or (f"{standing['file']} is in force.",)
                console.print("\n".join(said), soft_wrap=True, markup=False)
                printed = lines
        await asyncio.sleep(_LOOK_S)
