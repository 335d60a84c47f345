"""Makes BentoML's own log lines what ours are: JSON, unless `EKIBEN_LOG_FORMAT` is `console`.

BentoML 1.4.39 configures its logs in each of its processes just before it imports the service, and no setting
changes their form. What the service imports runs after that, so the handler is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from bentoml._internal.log import SERVER_LOGGING_CONFIG

from ekiben.process.environ import log_choices
from ekiben.process.logs import JsonFormatter

_HANDLER: Final = "tracehandler"  # BentoML's name for the one that all its loggers share


def use_log_format(environ: Mapping[str, str]) -> None:
    """Give what BentoML logs in this process the form that `environ` asks for. Raises `BadSetting`."""
    log_format, _ = log_choices(environ)
    if log_format != "json":
        return
    SERVER_LOGGING_CONFIG["formatters"]["traced"] = {"()": JsonFormatter}
    for name in ("", *SERVER_LOGGING_CONFIG["loggers"]):
        for handler in logging.getLogger(name or None).handlers:
            if handler.name == _HANDLER:
                handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
