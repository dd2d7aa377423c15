"""Every error a user can meet, in one hierarchy.

    LucError                      exit code 1
     ├─ InputError                2   what was typed or written is wrong: file, line, field at fault
     │   ├─ UnknownObject         2   no such VM, VE, host, image
     │   └─ AlreadyExists         2   two VEs of one name
     ├─ EnvironmentMissing        3   not root, a program or library absent or too old
     ├─ Unreachable               4   the agent or a peer does not answer
     ├─ Refused                   5   understood, but cannot be done now: no room, busy, constraints
     └─ OperationFailed           6   begun and ended in a definite state other than the one wanted

A message says what is at fault and what to do; `hint` is printed on a line of its own.
"""

from __future__ import annotations


class LucError(Exception):
    """Base of all errors shown to users; `exit_code` is what `luc` exits with."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The name that travels on the wire; `from_wire` is its inverse."""
        return type(self).__name__


class InputError(LucError):
    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        file: str = "",
        line: int = 0,
        column: int = 0,
    ) -> None:
        place = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{place}: {message}" if place else message, hint=hint)


class UnknownObject(InputError):
    pass


class AlreadyExists(InputError):
    pass


class EnvironmentMissing(LucError):
    exit_code = 3


class Unreachable(LucError):
    exit_code = 4


class Refused(LucError):
    exit_code = 5


class OperationFailed(LucError):
    exit_code = 6


_BY_NAME: dict[str, type[LucError]] = {
    cls.__name__: cls
    for cls in (
        LucError,
        InputError,
        UnknownObject,
        AlreadyExists,
        EnvironmentMissing,
        Unreachable,
        Refused,
        OperationFailed,
    )
}


def from_wire(kind: str, message: str, hint: str = "") -> LucError:
    """Rebuild an error that crossed a socket; an unknown kind becomes the base class."""
    return _BY_NAME.get(kind, LucError)(message, hint=hint)
