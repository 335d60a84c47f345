"""The router's API, described once: as OpenAPI 3.1, and as a page for people."""

from __future__ import annotations

from typing import Any


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of the router."""
    return {"openapi": "3.1.0", "info": {"title": "Ekiben router", "version": "0.1.0"}, "paths": {}}


def docs_page() -> bytes:
    """The same as a page of its own, with no asset from another host."""
    return b"<!doctype html><title>Ekiben router</title>"
