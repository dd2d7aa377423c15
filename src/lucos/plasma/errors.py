"""What is wrong in scripts: every problem at its place, shown with the line and a caret."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from lucos.errors import InputError

PROBLEMS_MAX = 20
"""No more problems than these are looked for in one script."""

_SHOWN_MAX = 160
_CANDIDATES_MAX = 2000


class Problem(msgspec.Struct, frozen=True, order=True):
    """One problem. `start` and `end` are offsets in the script, of the text at fault."""

    start: int
    end: int
    message: str


class Source(msgspec.Struct, frozen=True, dict=True):
    """A script, and the line and column (from 1) of its first character in `file`."""

    text: str
    file: str = ""
    first_line: int = 1
    first_column: int = 1
    namespace: str = ""

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) in the file of a character of the script, both from 1."""
        row = bisect_right(self._line_starts, offset) - 1
        column = offset - self._line_starts[row] + 1
        return self.first_line + row, column + (self.first_column - 1 if row == 0 else 0)

    def show(self, problem: Problem) -> str:
        """`file:line:column: message`, the source line, and a caret under the text at fault."""
        line, column = self.place(problem.start)
        begin = self.text.rfind("\n", 0, problem.start) + 1
        end = self.text.find("\n", begin)
        stop = len(self.text) if end < 0 else end
        # Of a line that is too long to read, only what is around the fault is shown.
        left = max(begin, problem.start - _SHOWN_MAX // 2)
        code = self.text[left : min(stop, left + _SHOWN_MAX)].rstrip()
        width = max(1, min(problem.end - problem.start, left + len(code) - problem.start))
        # Tabs stay tabs so that the caret stands under its text whatever a tab's width is.
        lead = "".join(c if c == "\t" else " " for c in code[: problem.start - left])
        place = ":".join(str(part) for part in (self.file, line, column) if part)
        where = f" (namespace {self.namespace})" if self.namespace else ""
        return f"{place}{where}: {problem.message}\n{line:>5} | {code}\n      | {lead}{'^' * width}"


class PlasmaErrors(InputError):
    """All problems of some scripts, in order; `reports` for programs, `message` for people."""

    def __init__(self, reports: Sequence[tuple[Source, Iterable[Problem]]]) -> None:
        self.reports = [(source, sorted(set(found))) for source, found in reports if found]
        shown = [source.show(problem) for source, found in self.reports for problem in found]
        super().__init__("\n".join(shown))

    @property
    def problems(self) -> list[Problem]:
        """The problems of all scripts, script by script."""
        return [problem for _, found in self.reports for problem in found]


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when a known word is close, else nothing."""
    near = [name for name in known if abs(len(name) - len(word)) <= 2]
    if len(near) > _CANDIDATES_MAX:
        near = [name for name in near if name[:1] == word[:1] or name[-1:] == word[-1:]][:_CANDIDATES_MAX]
    close = difflib.get_close_matches(word, near, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def listed(names: Sequence[str], shown_max: int = 4) -> str:
    """`a, b and 3 more`."""
    rest = len(names) - shown_max
    return ", ".join(names[:shown_max]) + (f" and {rest} more" if rest > 0 else "")
