"""The parser: text -> tree. A statement that cannot be read is reported, blanked, and the rest read on."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from lucos.plasma.errors import Problem

SYNTAX_ERRORS_MAX = 20

_WORDS = {"WORD": "a name", "VARIABLE": "a $variable"}
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENDS = re.compile(r";|\Z")


@cache
def _parser() -> Lark:
    grammar = files("lucos.plasma").joinpath("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def parse(text: str) -> tuple[Tree[Token], list[Problem], set[str]]:
    """(tree of the statements that can be read, problems, variables that unreadable statements speak of)."""
    problems: list[Problem] = []
    broken: set[str] = set()
    # Comments are blanked first, so that a `;` inside one never ends a statement. Offsets stay.
    rest = _COMMENT.sub(lambda m: _blank(m.group()), text)
    while len(problems) < SYNTAX_ERRORS_MAX:
        try:
            return _parser().parse(rest), problems, broken
        except UnexpectedInput as error:
            problem = _problem(error, rest)
        problems.append(problem)
        begin = rest.rfind(";", 0, problem.start) + 1
        stop = _ENDS.search(rest, problem.start)
        assert stop is not None
        broken |= set(re.findall(r"\$\w+", rest[begin : stop.end()]))
        rest = rest[:begin] + _blank(rest[begin : stop.end()]) + rest[stop.end() :]
    return _parser().parse(""), problems, broken


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _problem(error: UnexpectedInput, text: str) -> Problem:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        start = error.token.start_pos or 0
        end = error.token.end_pos or start
        return Problem(start, end, f"unexpected {str(error.token)!r}{_expected(error.accepts)}")
    if isinstance(error, UnexpectedCharacters):
        start = error.pos_in_stream or 0
        char = text[start]
        hint = "; comments start with //" if char == "#" else _expected(error.allowed)
        return Problem(start, start + 1, f"unexpected {char!r}{hint}")
    end = len(text.rstrip())
    accepts = error.accepts if isinstance(error, UnexpectedToken) else set()
    return Problem(max(0, end - 1), end, f"the script ends too early{_expected(accepts)}")


def _expected(terminals: set[str] | None) -> str:
    patterns = {t.name: repr(t.pattern.value) for t in _parser().terminals if t.pattern.type == "str"}
    words = sorted(word for name in terminals or () if (word := _WORDS.get(name, patterns.get(name, ""))))
    return f"; expected {' or '.join(words)}" if words else ""
