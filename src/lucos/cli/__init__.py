"""What people type and see: the `luc` command. It talks to an agent's socket and is quick to start.

Each module holds the commands of one concern and is imported only when one of them runs.
"""

from lucos.cli.main import main

__all__ = ["main"]
