"""The dashboard: server-rendered pages over what the desk knows, live by server-sent events."""

from ekiben.control.dashboard.app import Dashboard

__all__ = ["Dashboard"]
