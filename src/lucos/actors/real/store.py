"""Durable state of actors: one file each, replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; after a crash the file is the old one or the new one, never a mixture."""
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fdatasync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class ActorStore:
    """The last saved state of each actor of a node, in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    def load(self, actor: str) -> bytes | None:
        try:
            return self._path(actor).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, actor: str, state: bytes) -> None:
        write_durably(self._path(actor), state)

    def _path(self, actor: str) -> Path:
        return self._directory / f"{quote(actor, safe='')}.state"
