"""`python -m ekiben.control.apply FILE`: applies an experiments file through a controller.

For the Job of the manifests, whose image has no more than the controller. It waits for the controller, prints
what was changed, and exits 1 when the file is refused.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ekiben.process.http.client import NoAnswer, Redirected, ask
from ekiben.process.printable import printable

_TIMEOUT_S: Final = 30.0
_AGAIN_S: Final = 2.0
_PATIENCE_S: Final = 600.0


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Apply the one file that is named. Returns the exit code: 2 for wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # every encoding can show what is done
    url, token = environ.get("EKIBEN_CONTROLLER_URL", ""), environ.get("EKIBEN_ADMIN_TOKEN", "")
    if len(arguments) != 1 or not url.startswith(("http://", "https://")) or not token:
        return _fail("give one file, EKIBEN_CONTROLLER_URL and EKIBEN_ADMIN_TOKEN", 2)
    try:
        text = Path(arguments[0]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"cannot read {arguments[0]}: {getattr(error, 'strerror', None) or 'not UTF-8'}", 2)
    body = json.dumps({"document": text, "why": f"{Path(arguments[0]).name} of this deployment"}).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {token}",
        "X-Ekiben-Actor": environ.get("HOSTNAME") or "apply",
    }
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            answer = ask(f"{url.rstrip('/')}/api/apply", body, headers, _TIMEOUT_S)
            if answer.status == 200:
                return _show(json.loads(answer.content))
            if answer.status < 500:
                return _fail(_refusal(answer.status, answer.content), 1)
            why = f"it answered {answer.status}"
        except Redirected as error:
            return _fail(str(error), 1)
        except (NoAnswer, ValueError) as error:
            why = str(error)
        if time.monotonic() > end:
            return _fail(f"no controller at {url}: {why}", 1)
        time.sleep(_AGAIN_S)


def _show(change: dict[str, Any]) -> int:
    for line in change["changes"] or ["nothing changes"]:
        sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.write(f"revision {change['revision']}\n")
    return 0


def _refusal(status: int, content: bytes) -> str:
    try:
        problem = json.loads(content)
        return "\n".join(problem.get("errors") or [problem.get("detail") or problem["title"]])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the controller answered {status}"


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"apply: {printable(line)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
