"""An object store."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.fs as pafs
import pytest
from moto.server import ThreadedMotoServer

from tests.ports import free_port


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """A real S3 API on loopback: the environment that leads to it, with a bucket `events`."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback",
    }
    pafs.S3FileSystem(
        access_key="loopback",
        secret_key="loopback",
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        region="us-east-1",
        allow_bucket_creation=True,
    ).create_dir("events")
    yield environ
    server.stop()
