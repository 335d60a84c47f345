"""The controller that leads watches the experiments file, where it was given one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.applying import Applier
from ekiben.state.documents.document import Conflict
from ekiben.state.lease import LeaseLost

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5


async def apply_file(applier: Applier, changed: Callable[[], None]) -> None:
    """Look at the file twice a second until cancelled; `changed` is called when it stands otherwise."""
    failure = ""
    while True:
        before = applier.standing
        try:
            await applier.round()
            failure = ""
        except (Conflict, LeaseLost):
            pass  # another was faster: the next round sees its work
        except (StateUnavailable, RedisError, OSError):
            pass  # the desk tells of it
        except Exception as error:
            if repr(error) != failure:
                log.exception("the experiments file could not be applied")
            failure = repr(error)
        if applier.standing != before:
            changed()
        await asyncio.sleep(_LOOK_S)
