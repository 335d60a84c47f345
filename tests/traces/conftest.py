"""A receiver, a real BentoML service and a real router that export to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import Process, RouterProcess
from tests.redis_server import RedisServer
from tests.traces.receiver import Receiver

EXPERIMENTS = """\
models:
  credit: {{live: v1, timeout_ms: 5000, versions: {{v1: {{endpoints: ["http://127.0.0.1:{port}"]}}}}}}
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def traced(
    receiver: Receiver, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    """A router before credit v1, both exporting to the receiver every 100 ms."""
    folder = tmp_path_factory.mktemp("traces")
    export = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "true",
    }
    port = free_port()
    (folder / "experiments.yaml").write_text(EXPERIMENTS.format(port=port))
    serve = ["-m", "bentoml", "serve", "services.credit.v1:CreditV1", "--host", "127.0.0.1"]
    service = Process("service", folder, [*serve, "--port", str(port)], export)
    redis = RedisServer(folder, "redis")
    router = RouterProcess(folder, EKIBEN_ACCESS_LOG_PERCENT="100", REDIS_URL=redis.url, **export)
    try:
        redis.spawn()
        service.start()
        service.wait_for(f"http://127.0.0.1:{port}/readyz")
        router.start()
        router.wait_for(f"{router.url}/readyz")
        yield router
    finally:
        router.kill()
        if service.running:
            service.stop()  # BentoML ends its workers, which are in sessions of their own
        redis.kill()


@pytest.fixture
def folder(traced: RouterProcess) -> Path:
    return traced.log.parent
