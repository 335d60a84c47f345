"""Each peer's own virtual environment, made the first time and again when its requirements change."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Final

PEERS: Final = Path("loadtests/peers").absolute()
_LIMIT_S: Final = 900.0


class NotInstalled(Exception):
    """Why a peer has no figures, in one line."""


async def install(name: str, log: Path) -> Path:
    """Make sure of the peer's environment and return its folder of programs. Raises NotInstalled."""
    venv, requirements = PEERS / name / ".venv", PEERS / name / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    mark = venv / ".installed"
    if not mark.exists() or mark.read_text() != digest:
        await _run(log, sys.executable, "-m", "venv", "--clear", str(venv))
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
        await _run(log, *pip, "-r", str(requirements))
        mark.write_text(digest)
    return venv / "bin"


async def _run(log: Path, *command: str) -> None:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
        try:
            async with asyncio.timeout(_LIMIT_S):
                code = await process.wait()
        except TimeoutError:
            raise NotInstalled(f"cannot be installed: not done after {_LIMIT_S:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if code:
        raise NotInstalled(f"cannot be installed: {_reason(log)}")


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ERROR")]
    return lines[0][:160] if lines else f"see {log}"
