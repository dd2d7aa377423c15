"""The parser: text -> trees of statements. What cannot be read is reported, blanked, and the rest read on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import msgspec
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from lucos.plasma.errors import PROBLEMS_MAX, Problem

TEXT_MAX = 2_000_000
"""Characters of a script."""

Node = Tree[Token]

_WORDS = {"WORD": "a name", "VARIABLE": "a $variable", "NUMBER": "a number", "STRING": 'a "text"'}
_QUIET = {"NAMES", "SUFFIX"}
_OPERATORS = {"OPERATOR", "MINUS", "STAR", "NOT", "HASH"}
_COMMENT_OR_STRING = re.compile(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/|/\*', re.DOTALL)
_MARK = re.compile(r'"[^"\n]*"|[;{}]')
_PIECE = re.compile(r'"[^"\n]*"|[$@]?[\w.]+|\S')
_BLOCK_HEAD = re.compile(r"\s*(?:for|if)\b")
_ELSE = re.compile(r"\s*else\b")
_HEADS = ("for", "if", "else")
_BEFORE_SETS = frozenset(["in", "if", *"([{,+-*/%^=!<>&|#"])


class Script(msgspec.Struct):
    """What was read: statements with the offset that their positions count from, and what was not."""

    statements: list[tuple[int, Node]]
    problems: list[Problem]
    broken: set[str]
    """Variables that unreadable statements speak of."""


@cache
def parser() -> Lark:
    """The parser, made once."""
    grammar = files("lucos.plasma").joinpath("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def comments(text: str) -> Iterator[tuple[int, str]]:
    """(offset, text) of each comment; `/*` alone when it is never closed."""
    for found in _COMMENT_OR_STRING.finditer(text):
        if found[0][0] == "/":
            yield found.start(), found[0]


def without_comments(text: str) -> tuple[str, list[Problem]]:
    """The text with its comments blanked, so that every offset stays."""
    parts, done, problems = [], 0, []
    for start, comment in comments(text):
        if comment == "/*":
            problems.append(Problem(start, start + 2, "this comment never ends: close it with */"))
        parts += [text[done:start], _blank(comment)]
        done = start + len(comment)
    return "".join([*parts, text[done:]]), problems


def parse(text: str) -> Script:
    """The statements of a script, and every problem of its syntax."""
    if len(text) > TEXT_MAX:
        size = f"a script of {len(text)} characters, at most {TEXT_MAX} can be read"
        return Script([], [Problem(0, 0, size)], set())
    rest, problems = without_comments(text)
    script = Script([], problems, set())
    begin = 0
    while begin < len(rest) and len(script.problems) < PROBLEMS_MAX:
        end = _statement_end(rest, begin)
        try:
            tree = parser().parse(rest[begin:end])
        except UnexpectedInput as error:
            problem = _problem(error, rest[begin:end], begin)
            start, stop = _unreadable(rest, begin, end, problem.start)
            if isinstance(error, UnexpectedToken) and error.token.type == "$END":
                start, stop = begin, end
            script.problems.append(problem)
            script.broken |= set(re.findall(r"\$\w+", rest[start:stop]))
            rest = rest[:start] + _blank(rest[start:stop]) + rest[stop:]
            continue
        script.statements += [(begin, child) for child in tree.children if isinstance(child, Tree)]
        begin = end
    return script


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _statement_end(text: str, begin: int) -> int:
    """Where a statement that begins at `begin` ends, or a later one: never inside of one."""
    is_block = _BLOCK_HEAD.match(text, begin)
    depth, ended = 0, False
    for mark in _MARK.finditer(text, begin):
        if mark[0] == ";":
            ended = True
            if not depth:
                return mark.end()
        elif mark[0] == "{":
            ended = ended and depth > 0
            depth += 1
        elif mark[0] == "}" and depth:
            depth -= 1
            if is_block and ended and not depth and not _ELSE.match(text, mark.end()):
                return mark.end()
    return len(text)


def _unreadable(text: str, begin: int, end: int, place: int) -> tuple[int, int]:
    """The extent of the innermost statement that `place` is in, which is given up; never empty."""
    start, head, last, braces = begin, "", "", list[bool]()
    for piece in _PIECE.finditer(text, begin, place):
        word = piece[0]
        if not head:
            start, head = piece.start(), word
        if word == ";":
            head, braces = "", [is_block for is_block in braces if is_block]
        elif word == "{":
            opens_block = head in _HEADS and last not in _BEFORE_SETS
            braces.append(opens_block)
            head = "" if opens_block else head
        elif word == "}" and braces and braces.pop():
            head = ""
        last = word
    if text[place] == "}" and not head and not any(braces):
        return place, place + 1
    if not head:
        first = _PIECE.match(text, place)
        start, head = place, first[0] if first else ""
    stop = _given_up_to(text, place, end, is_block=head in _HEADS, inside=any(braces))
    return (start, stop) if text[start:stop].strip() else (place, place + 1)


def _given_up_to(text: str, place: int, end: int, *, is_block: bool, inside: bool) -> int:
    """Where reading goes on after an error at `place`: after its `;` or block, or where its block ends."""
    depth = 0
    for mark in _MARK.finditer(text, place, end):
        if mark[0] == ";" and (not depth or not is_block):
            return mark.end()
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
            if depth < 0 and inside:
                return mark.start()
            following = text[mark.end() : end].lstrip()
            if is_block and not depth and not following.startswith(("{", "else")):
                return mark.end()
    return end


def _problem(error: UnexpectedInput, text: str, base: int) -> Problem:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        start = error.token.start_pos or 0
        end = error.token.end_pos or start
        hint = "; comments start with //" if error.token == "#" else _expected(error.accepts)
        message = f"unexpected {str(error.token)!r}{hint}"
    elif isinstance(error, UnexpectedCharacters):
        start = error.pos_in_stream or 0
        end = start + 1
        message = f"unexpected {text[start]!r}{_expected(error.allowed)}"
    else:
        end = len(text.rstrip())
        start = max(0, end - 1)
        accepts = error.accepts if isinstance(error, UnexpectedToken) else set()
        return Problem(base + start, base + end, f"the script ends too early{_expected(accepts)}")
    return Problem(base + start, base + end, message)


def _expected(terminals: set[str] | None) -> str:
    wanted = set(terminals or ()) - _QUIET
    if "FOR" in wanted:
        return "; expected a statement" + (" or '}'" if "RBRACE" in wanted else "")
    patterns = {t.name: repr(t.pattern.value) for t in parser().terminals if t.pattern.type == "str"}
    words = {word for name in wanted - _OPERATORS if (word := _WORDS.get(name, patterns.get(name, "")))}
    # Where an operand may stand, `-` and `#` may too: only after one are operators worth naming.
    shown = sorted(words) + ["an operator"] * ("OPERATOR" in wanted)
    return f"; expected {' or '.join(shown)}" if shown else ""
