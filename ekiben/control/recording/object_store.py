"""The object store that event files may lie in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.fs as pafs

from ekiben.process.environ import BadSetting


def open_object_store(url: str, environ: Mapping[str, str]) -> tuple[Any, str]:
    """The file system of `s3://bucket/prefix`, with the usual AWS_* variables, and the root in it.

    Nothing connects before the first use. Raises `BadSetting`.
    """
    scheme, _, root = url.partition("://")
    root = root.rstrip("/")
    if scheme != "s3" or not root or root.startswith("/"):
        raise BadSetting(f"EKIBEN_EVENTS_URL must be a directory or s3://bucket/prefix, not {url!r}")
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    protocol, _, address = endpoint.rpartition("://")
    return (
        pafs.S3FileSystem(
            # Without these pyarrow looks where Amazon's tools do: profiles, roles, the machine's own.
            access_key=environ.get("AWS_ACCESS_KEY_ID") or None,
            secret_key=environ.get("AWS_SECRET_ACCESS_KEY") or None,
            session_token=environ.get("AWS_SESSION_TOKEN") or None,
            scheme=protocol or "https",
            endpoint_override=address or None,
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            allow_delayed_open=True,  # one put for what fits into one
            connect_timeout=5,
            request_timeout=30,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=3),
        ),
        root,
    )
