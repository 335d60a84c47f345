"""Starting the peers: a peer that cannot be had, or does not come up, says why and is no obstacle."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import aiohttp
import yaml

from ekiben.up.launch import bentoml_home
from ekiben.up.processes import Child
from loadtests.bench.peers_install import PEERS, NotInstalled, install
from loadtests.bench.stack import SERVICE_PORTS, Stack

SHADOW_PORT: Final = 13406
NGINX: Final = "http://127.0.0.1:13410"
NGINX_MIRROR: Final = "http://127.0.0.1:13411"
ENVOY: Final = "http://127.0.0.1:13412"
ENVOY_MIRROR: Final = "http://127.0.0.1:13413"
MLSERVER: Final = "http://127.0.0.1:13414"
LITSERVE_PORT: Final = 13417
LITSERVE: Final = f"http://127.0.0.1:{LITSERVE_PORT}"
_READY_S: Final = 60.0

# A copy of the model whose every request is copied, so that both can be measured in turn on one router.
_SHADOWED: Final = """
  credit-shadowed:
    live: v1
    versions:
      v1: {{endpoints: ["http://127.0.0.1:{v1}"]}}
      v2: {{endpoints: ["http://127.0.0.1:{v2}"]}}
      v3: {{endpoints: ["http://127.0.0.1:{v3}"]}}
    shadow: {{v3: 100}}
"""


class Peers:
    """The peers of one run. They are not watched: one that dies has no figures, and the rest goes on."""

    def __init__(self, stack: Stack, undo: ExitStack, session: aiohttp.ClientSession) -> None:
        self._stack = stack
        self._undo = undo
        self._session = session

    async def nginx(self) -> None:
        """nginx with `loadtests/peers/nginx/nginx.conf`. Raises NotInstalled."""
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise NotInstalled("nginx is not installed: install the Debian package `nginx-light`")
        folder = self._stack.data_dir / "nginx"
        folder.mkdir(exist_ok=True)
        text = (PEERS / "nginx" / "nginx.conf").read_text(encoding="utf-8")
        (folder / "nginx.conf").write_text(text.replace("PREFIX", str(folder)), encoding="utf-8")
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")]
        await self._start("nginx", command, NGINX)

    async def envoy(self) -> None:
        """Envoy with `loadtests/peers/envoy/envoy.yaml`, one worker thread. Raises NotInstalled."""
        programs = await install("envoy", self._log("envoy-install"))
        command = [
            str(programs / "envoy"), "-c", str(PEERS / "envoy" / "envoy.yaml"), "--concurrency", "1",
            "--disable-hot-restart", "-l", "warn",
        ]  # fmt: skip
        await self._start("envoy", command, ENVOY)

    async def mlserver(self, version: str) -> None:
        """MLServer with the runtime in `loadtests/peers/mlserver`. Raises NotInstalled."""
        programs = await install("mlserver", self._log("mlserver-install"))
        command = [str(programs / "mlserver"), "start", str(PEERS / "mlserver")]
        more = model_environment(version)
        more["PYTHONPATH"] += f":{PEERS / 'mlserver'}"
        await self._start("mlserver", command, f"{MLSERVER}/v2/health/ready", more)

    async def litserve(self, version: str) -> None:
        """LitServe with `loadtests/peers/litserve/server.py`. Raises NotInstalled."""
        programs = await install("litserve", self._log("litserve-install"))
        command = [str(programs / "python"), str(PEERS / "litserve" / "server.py"), str(LITSERVE_PORT)]
        await self._start("litserve", command, f"{LITSERVE}/health", model_environment(version))

    def _log(self, name: str) -> Path:
        return self._stack.data_dir / "logs" / f"{name}.log"

    async def _start(
        self, name: str, command: Sequence[str], url: str, more: dict[str, str] | None = None
    ) -> None:
        dying = shutil.which("setpriv")
        # nginx's workers do not keep the environment by which a killed run's children are found.
        with_parent = [dying, "--pdeathsig", "TERM"] if dying else []
        children = self._stack.children
        child = children.start(name, [*with_parent, *command], more)
        children.forget(child)
        self._undo.callback(lambda: _end(child))
        begun = time.monotonic()
        while not await self._answers(url):
            if child.process.poll() is not None:
                raise NotInstalled(
                    f"does not start: it ended with {child.process.returncode}, see {child.log}"
                )
            if time.monotonic() - begun > _READY_S:
                raise NotInstalled(f"does not start: not ready within {_READY_S:.0f} s, see {child.log}")
            await asyncio.sleep(0.2)

    async def _answers(self, url: str) -> bool:
        try:
            async with self._session.get(url) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def _end(child: Child) -> None:
    if child.process.poll() is None:
        child.process.terminate()
        try:
            child.process.wait(5.0)
        except Exception:
            child.process.kill()
    child.process.wait()


def model_environment(version: str) -> dict[str, str]:
    """Where a peer finds the model of a version of credit in BentoML's store, and the code it shares."""
    store = bentoml_home(os.environ) / "models" / f"credit_{version}"
    try:
        folder = store / (store / "latest").read_text().strip()
        metadata = yaml.safe_load((folder / "model.yaml").read_text())["metadata"]
    except (OSError, KeyError, yaml.YAMLError):
        raise NotInstalled(f"there is no credit_{version} in {store}: run `ekiben train`") from None
    return {
        "CREDIT_MODEL": str(folder),
        "CREDIT_COLUMN": str(metadata["score_column"]),
        "PYTHONPATH": f"{Path.cwd()}:{PEERS}",
    }


async def add_shadowed(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Give the running router the model `credit-shadowed`, as an edit of its file. Raises NotInstalled."""
    file = stack.data_dir / "bench" / "experiments.yaml"
    document = yaml.safe_load(file.read_text())
    document["models"] |= yaml.safe_load(_SHADOWED.format(**SERVICE_PORTS, v3=SHADOW_PORT))
    original = document["experiments"]["credit-boosting"]
    document["experiments"]["credit-shadowed"] = {**original, "model": "credit-shadowed"}
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    for _ in range(100):
        async with session.get(f"{stack.router}/healthz") as response:
            dependencies = (await response.json(content_type=None)).get("dependencies", {})
        if all(dependencies.get(f"credit-shadowed/v{n}") == "up" for n in (1, 2, 3)):
            return
        await asyncio.sleep(0.1)
    raise NotInstalled("the router did not take the shadowed model up within 10 s")
