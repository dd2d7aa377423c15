"""The one way to lay out a script: same tokens, same comments, one statement a line."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from lucos.plasma.errors import PlasmaErrors, Source
from lucos.plasma.syntax import comments, parse, parser, without_comments

WIDTH = 100
INDENT = "    "

_NAMES_PART = re.compile(r"[{},@]|[^{},@\s]+")
_PREFIXES = frozenset({"NOT", "HASH", "NEGATIVE"})
# After these an operand comes: a minus is then a sign and a brace opens a set.
_BEFORE_OPERAND = frozenset(
    {"IN", "IF", "OPERATOR", "MINUS", "STAR", "LPAR", "COMMA", "OPEN", "LSQB", "ASSIGN", "_RANGE"} | _PREFIXES
)
_TIGHT_AFTER = frozenset({"LPAR", "LSQB", "OPEN", "NODE_MARK", "LESSTHAN", "EQUAL", "_RANGE"}) | _PREFIXES
_TIGHT_BEFORE = frozenset(
    {
        "COMMA",
        "SEMICOLON",
        "RPAR",
        "RSQB",
        "CLOSE",
        "SUFFIX",
        "BELOW",
        "LSQB",
        "LESSTHAN",
        "MORETHAN",
        "EQUAL",
    }
    | {"_RANGE"}
)


class _Piece(msgspec.Struct):
    """A token or a comment, with the number of line ends before it."""

    kind: str
    text: str
    lines_before: int = 0


def format_script(source: Source) -> str:
    """The script laid out anew; raises `PlasmaErrors` when it cannot be read."""
    problems = parse(source.text).problems
    if problems:
        raise PlasmaErrors([(source, problems)])
    layout = _Layout()
    for piece in _pieces(source.text):
        layout.add(piece)
    return layout.text()


def tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """(offset, kind, text) of each token of a script without errors; sets of names in their parts."""
    blank, _ = without_comments(text)
    reading = parser().parse_interactive(blank)
    for token in reading.iter_parse():
        start = token.start_pos or 0
        if token.type == "NAMES":
            for part in _NAMES_PART.finditer(token):
                kind = {"{": "LBRACE", "}": "RBRACE", ",": "COMMA", "@": "NODE_MARK"}.get(part[0], "WORD")
                yield start + part.start(), kind, part[0]
        else:
            yield start, token.type, str(token)


def _pieces(text: str) -> Iterator[_Piece]:
    remarks = [(start, "LINE" if c.startswith("//") else "REMARK", c.rstrip()) for start, c in comments(text)]
    done = 0
    for start, kind, word in sorted([*tokens(text), *remarks]):
        yield _Piece("_RANGE" if word == ".." else kind, word, text.count("\n", done, start))
        done = start + len(word)


class _Layout:
    """Builds lines piece by piece."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._chunks: list[str] = []  # of the statement at hand; lines are broken between chunks only
        self._last = ""  # kind of the last piece of the statement at hand
        self._head = ""  # kind of its first piece
        self._braces: list[bool] = []  # of each open brace, whether it opens a block
        self._fresh = True  # nothing stands before in this block
        self._ended = False  # the last line ends with a statement, to which a comment may be added

    def text(self) -> str:
        self._flush()
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, piece: _Piece) -> None:
        if piece.kind in ("LINE", "REMARK"):
            self._comment(piece)
            return
        kind = self._kind(piece)
        if kind == "END":
            self._flush()
            self._braces.pop()
            self._fresh = True
        if kind == "ELSE" and self._ended and self._lines[-1].strip() == "}":
            self._lines.pop()
            self._chunks, self._last, self._fresh = ["}"], "END", True
        elif not self._chunks:
            self._space(piece)
        self._head = self._head or kind
        self._word(kind, piece.text)
        if kind in ("SEMICOLON", "BLOCK", "END"):
            self._flush()
            self._ended = kind != "BLOCK"
            self._fresh = kind == "BLOCK"
        if kind in ("OPEN", "BLOCK"):
            self._braces.append(kind == "BLOCK")

    def _kind(self, piece: _Piece) -> str:
        """The kind of a token where its place matters: signs, braces of sets and of blocks."""
        if piece.kind == "LBRACE":
            is_block = self._head in ("FOR", "IF", "ELSE") and self._last not in _BEFORE_OPERAND
            return "BLOCK" if is_block else "OPEN"
        if piece.kind == "RBRACE":
            if self._braces[-1]:
                return "END"
            self._braces.pop()
            return "CLOSE"
        return "NEGATIVE" if piece.kind == "MINUS" and self._last in _BEFORE_OPERAND else piece.kind

    def _word(self, kind: str, text: str) -> None:
        last = self._last
        tight = kind in _TIGHT_BEFORE or last in _TIGHT_AFTER
        tight = tight or (kind == "LPAR" and last == "WORD")
        tight = tight or (last == "SOFT" and kind in ("NUMBER", "VARIABLE", "WORD"))
        if not self._chunks or last in ("COMMA", "LINE"):
            self._chunks.append(text)
        else:
            self._chunks[-1] += text if tight else f" {text}"
        self._last = kind

    def _comment(self, piece: _Piece) -> None:
        if self._chunks:
            self._chunks[-1] += f" {piece.text}"
            if piece.kind == "LINE" or "\n" in piece.text:
                self._chunks[-1] += "\n"
                self._last = "LINE"
        elif self._lines and not piece.lines_before and (self._ended or self._lines[-1].endswith("{")):
            self._lines[-1] += f" {piece.text}"
        else:
            self._space(piece)
            self._lines.append(INDENT * len(self._braces) + piece.text)
            self._fresh = self._ended = False

    def _space(self, piece: _Piece) -> None:
        """Keep one empty line where there were some, but none at the start of a block or its end."""
        if piece.lines_before > 1 and not self._fresh and self._lines:
            self._lines.append("")
        self._fresh = False

    def _flush(self) -> None:
        """End the statement at hand: break it into lines that are not too wide, if it can be."""
        indent = INDENT * len(self._braces)
        line = ""
        for chunk in self._chunks:
            if line and (line.endswith("\n") or len(line) + 1 + len(chunk) > WIDTH):
                self._lines.append(line.removesuffix("\n"))
                line = indent + INDENT + chunk
            else:
                line = f"{line} {chunk}" if line else indent + chunk
        if line:
            self._lines.append(line.removesuffix("\n"))
        self._chunks, self._last, self._head = [], "", ""
