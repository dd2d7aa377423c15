"""`luc agent`: the process. Logs, signals, exit codes."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import sys
from contextlib import suppress

import msgspec

from lucos.agent.config import AgentConfig
from lucos.errors import LucError, OperationFailed

_M_ARENA_MAX = -8


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback of a defect."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time_s": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def _set_up_logs(path: str) -> None:
    handler: logging.Handler
    handler = logging.FileHandler(path) if path else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


async def _serve(config: AgentConfig) -> None:
    from lucos.agent.service import Agent

    agent = Agent(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop_soon)
    try:
        await agent.start()
        await agent.stopped.wait()
    finally:
        await agent.close()
    if agent.failure is not None:
        raise OperationFailed(f"the agent stopped: {agent.failure}", hint="see its log")


def _share_memory_arenas() -> None:
    # One malloc arena for all of gRPC's and libvirt's threads: by default glibc keeps one for each.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def run(config: AgentConfig) -> None:
    """Run the agent until SIGTERM or SIGINT; raises classes of lucos.errors when it cannot."""
    _share_memory_arenas()
    _set_up_logs(config.agent.log)
    try:
        asyncio.run(_serve(config))
    except LucError as error:
        logging.getLogger("lucos.agent").critical("%s %s", error.message, error.hint)
        raise
