"""The Python shown on placement's page runs, from top to bottom, and prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "placement.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def test_examples_print_what_the_page_shows() -> None:
    page = PAGE.read_text()
    examples = list(_EXAMPLE.finditer(page))
    assert len(examples) == page.count("```python\n")
    names: dict[str, Any] = {}
    for example in examples:
        line = page.count("\n", 0, example.start()) + 1
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + example[1], str(PAGE), "exec"), names)
        assert printed.getvalue() == (example[2] or ""), f"line {line}"
