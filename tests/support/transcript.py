"""Transcripts of simulated runs, compared with files that are checked in.

`UPDATE_TRANSCRIPTS=1 pytest ...` writes the files instead of comparing.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from lucos.simulator.transcript import Transcript

__all__ = ["Transcript", "check_transcript"]


def check_transcript(text: str, path: Path) -> None:
    """Fail with a difference when `text` is not what `path` holds."""
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != expected:
        difference = "".join(
            difflib.unified_diff(expected.splitlines(True), text.splitlines(True), str(path), "this run")
        )
        raise AssertionError(f"{difference}\nif this is what it should be: UPDATE_TRANSCRIPTS=1 pytest ...")
