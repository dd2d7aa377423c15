"""What is wrong in a script: every problem at its place, shown with the line and a caret."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from lucos.errors import InputError


class Problem(msgspec.Struct, frozen=True, order=True):
    """One problem. `start` and `end` are offsets in the script, of the text at fault."""

    start: int
    end: int
    message: str


class Source(msgspec.Struct, frozen=True):
    """A script, and the line and column (from 1) of its first character in `file`."""

    text: str
    file: str = ""
    first_line: int = 1
    first_column: int = 1

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) in the file of a character of the script, both from 1."""
        before = self.text[:offset]
        row, column = before.count("\n"), offset - before.rfind("\n")
        return self.first_line + row, column + (self.first_column - 1 if row == 0 else 0)

    def show(self, problem: Problem) -> str:
        """`file:line:column: message`, the source line, and a caret under the text at fault."""
        line, column = self.place(problem.start)
        begin = self.text.rfind("\n", 0, problem.start) + 1
        code = self.text[begin:].split("\n", 1)[0].rstrip()
        width = max(1, min(problem.end - problem.start, begin + len(code) - problem.start))
        # Tabs stay tabs so that the caret stands under its text whatever a tab's width is.
        lead = "".join(c if c == "\t" else " " for c in code[: problem.start - begin])
        place = ":".join(str(part) for part in (self.file, line, column) if part)
        return f"{place}: {problem.message}\n{line:>5} | {code}\n      | {lead}{'^' * width}"


class PlasmaErrors(InputError):
    """All problems of one script, in order; `problems` for programs, `message` for people."""

    def __init__(self, source: Source, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = sorted(set(problems))
        super().__init__("\n".join(source.show(p) for p in self.problems))


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def listed(names: Sequence[str], shown_max: int = 4) -> str:
    """`a, b and 3 more`."""
    rest = len(names) - shown_max
    return ", ".join(names[:shown_max]) + (f" and {rest} more" if rest > 0 else "")
