"""A controller that looks after an experiments file, with a state Redis of its own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import yaml

from ekiben.experiments.document import Document
from ekiben.state.documents.document import AUDIT_STREAM, Stored
from tests.proofs.attacks.beside import Other, Ran
from tests.proofs.attacks.installation import TOKEN, Installation, load_from
from tests.proofs.attacks.wire import Answer, get, post
from tests.proofs.faults.processes import RedisServer

_KEEPS: Final = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
_PATIENCE_S: Final = 20.0


class Watched:
    """Started with the block, the text in force, and ended with it."""

    def __init__(self, installation: Installation, text: str) -> None:
        self._installation = installation
        folder = Path(tempfile.mkdtemp(prefix="watched-", dir=installation.folder))
        self.file = folder / "experiments.yaml"
        self.file.write_text(text)
        self.redis = RedisServer("watched", folder, installation.logs, _KEEPS)
        self._stack = ExitStack()
        self.controller: Other | None = None

    def __enter__(self) -> Self:
        try:
            self._stack.callback(self.redis.terminate, 2.0)
            self.redis.start()
            self.start()
            self.until(lambda: self.stands() == "in force", "the first text is not in force")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start the controller, when it does not run."""
        self.controller = self._stack.enter_context(
            self._installation.other(
                "ekiben.control",
                EKIBEN_STATE_URL=self.redis.url,
                EKIBEN_EXPERIMENTS_FILE=str(self.file),
                EKIBEN_EVENTS_URL=str(self.file.parent / "events"),
                EKIBEN_DATA_DIR=str(self.file.parent / "data"),
            )
        )

    def stop(self) -> None:
        """End the controller."""
        assert self.controller is not None
        self.controller.terminate(5.0)

    def write(self, data: dict[str, Any] | str) -> None:
        """Save the file, in place, in one step."""
        self.file.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))

    def status(self) -> dict[str, Any]:
        """How the file stands, as the controller says."""
        found: dict[str, Any] = (self._get("/api/status").data or {}).get("file") or {}
        return found

    def stands(self) -> str:
        """The state of the file, in a word or two."""
        return str(self.status().get("state"))

    def settles(self) -> str:
        """The state of the file once it waits for nothing any more."""
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()

        def decided() -> bool:
            stands = self.stands()
            return stands in ("refused", "late") or (stands == "in force" and self.held().applied == digest)

        self.until(decided, "nothing was decided about the file")
        return self.stands()

    def held(self) -> Stored:
        """The document as it stands in this Redis."""
        held = load_from(self.redis.url)
        assert held is not None
        return held

    @property
    def document(self) -> Document:
        """The experiments in force."""
        return self.held().document

    def verb(self, path: str, **fields: Any) -> Answer:
        """Ask this controller for a change."""
        assert self.controller is not None
        return post(
            self.controller.port,
            f"/api{path}",
            {"why": "an attack", **fields},
            authorization=f"Bearer {TOKEN}",
        )

    def page(self, path: str) -> Answer:
        """A page of this controller."""
        return self._get(path)

    def command(self, *arguments: str) -> Ran:
        """Run `ekiben` against this controller."""
        assert self.controller is not None
        return self._installation.command(
            *arguments, EKIBEN_CONTROLLER_URL=self.controller.url, EKIBEN_STATE_URL=self.redis.url
        )

    def history(self) -> list[bytes]:
        """Every document that was ever in force, as JSON, the first one first."""
        with self.redis.client() as client:
            entries: Any = client.xrange(AUDIT_STREAM)
        return [fields[b"after"] for _, fields in entries]

    def until(self, what: Callable[[], bool], otherwise: str) -> None:
        """Wait until `what` is true. Raises AssertionError."""
        self._installation.wait(what, otherwise, _PATIENCE_S)

    def _get(self, path: str) -> Answer:
        assert self.controller is not None
        return get(self.controller.port, path, authorization=f"Bearer {TOKEN}")
