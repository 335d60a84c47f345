"""Starting the peers: a peer that cannot be had, or does not come up, says why and is no obstacle."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from ekiben.up.launch import bentoml_home
from ekiben.up.readiness import Part, until_ready
from loadtests.bench.document import EXPERIMENT
from loadtests.bench.peers.install import PEERS, NotInstalled, install
from loadtests.bench.stack import Stack

SHADOW_PORT: Final = 13406
NGINX: Final = "http://127.0.0.1:13410"
NGINX_MIRROR: Final = "http://127.0.0.1:13411"
ENVOY: Final = "http://127.0.0.1:13412"
ENVOY_MIRROR: Final = "http://127.0.0.1:13413"
MLSERVER: Final = "http://127.0.0.1:13414"
LITSERVE_PORT: Final = 13417
LITSERVE: Final = f"http://127.0.0.1:{LITSERVE_PORT}"


class Peers:
    """The peers of one run. They are not watched: one that dies has no figures, and the rest goes on."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

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
        await self._start("nginx", command, f"{NGINX}/readyz")

    async def envoy(self) -> None:
        """Envoy with `loadtests/peers/envoy/envoy.yaml`, one worker thread. Raises NotInstalled."""
        programs = await self._install("envoy")
        command = [
            str(programs / "envoy"), "-c", str(PEERS / "envoy" / "envoy.yaml"), "--concurrency", "1",
            "--disable-hot-restart", "-l", "warn",
        ]  # fmt: skip
        await self._start("envoy", command, f"{ENVOY}/readyz")

    async def mlserver(self, version: str) -> None:
        """MLServer with the runtime in `loadtests/peers/mlserver`. Raises NotInstalled."""
        programs = await self._install("mlserver")
        command = [str(programs / "mlserver"), "start", str(PEERS / "mlserver")]
        more = model_environment(version)
        more["PYTHONPATH"] += f":{PEERS / 'mlserver'}"
        await self._start("mlserver", command, f"{MLSERVER}/v2/health/ready", more)

    async def litserve(self, version: str) -> None:
        """LitServe with `loadtests/peers/litserve/server.py`. Raises NotInstalled."""
        programs = await self._install("litserve")
        command = [str(programs / "python"), str(PEERS / "litserve" / "server.py"), str(LITSERVE_PORT)]
        await self._start("litserve", command, f"{LITSERVE}/health", model_environment(version))

    async def _install(self, name: str) -> Path:
        return await install(name, self._stack.data_dir / "logs" / f"{name}-install.log")

    async def _start(
        self, name: str, command: Sequence[str], url: str, more: dict[str, str] | None = None
    ) -> None:
        dying = shutil.which("setpriv")
        # nginx's workers do not keep the environment by which a killed run's children are found.
        with_parent = [dying, "--pdeathsig", "TERM"] if dying else []
        children = self._stack.children
        child = children.start(name, [*with_parent, *command], more, needed=False)
        for end in (child.process.wait, child.process.kill, partial(children.stop, [child], 5.0)):
            self._stack.undo.callback(end)  # the last one first
        failed = await until_ready([Part(child, url)], lambda _part: None)
        if failed:
            raise NotInstalled(f"does not start: {failed[name]}")


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


async def add_shadowed(stack: Stack) -> None:
    """Give the running router the model `credit-shadowed`, as an edit of its file. Raises NotInstalled."""
    file = stack.data_dir / "bench" / "experiments.yaml"
    document = yaml.safe_load(file.read_text())
    # A copy of the model whose every request is copied, so that both can be measured in turn on one router.
    copy = deepcopy(document["models"]["credit"]) | {"shadow": {"v3": 100}}
    copy["versions"]["v3"] = {"endpoints": [f"http://127.0.0.1:{SHADOW_PORT}"]}
    document["models"]["credit-shadowed"] = copy
    original = document["experiments"][EXPERIMENT]
    document["experiments"]["credit-shadowed"] = {**original, "model": "credit-shadowed"}
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    for _ in range(300):  # the controller leaves an edit that opens something alone for 10 s
        async with stack.session.get(f"{stack.router}/healthz") as response:
            dependencies = (await response.json(content_type=None)).get("dependencies", {})
        if all(dependencies.get(f"credit-shadowed/v{n}") == "up" for n in (1, 2, 3)):
            return
        await asyncio.sleep(0.1)
    raise NotInstalled("the router did not take the shadowed model up within 30 s")
