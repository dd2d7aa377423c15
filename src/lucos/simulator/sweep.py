"""All runs of a sweep, on all cores or over a Dask cluster; what is done is not done again after a kill.

Each run has a folder `KEY=VALUE,.../seed-N` of its own. It is done when its summary is there and has the very
settings of the run. `sweep.json` tells the state of all: todo, in progress, done, failed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec

from lucos.errors import EnvironmentMissing, InputError, LucError, OperationFailed, Unreachable
from lucos.simulator.experiment import Run
from lucos.simulator.run import SUMMARY, LawsMode, Progress, run_one, write_atomically
from lucos.simulator.scenario import settings_of

INDEX = "sweep.json"
FAILURE = "failure.json"
DASK_TIMEOUT_S = 10.0


class State(StrEnum):
    TODO = "todo"
    RUNNING = "in progress"
    DONE = "done"
    FAILED = "failed"


class Sweep:
    """The runs, their folders under `out_dir` and their states; `changed` is told each change of a state.

    Raises `InputError` when two runs would share a folder, or the folder cannot be written to.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        out_dir: Path,
        *,
        laws: LawsMode = "light",
        changed: Callable[[Sweep], None],
    ) -> None:
        self.runs = {run.folder: run for run in runs}
        if len(self.runs) < len(runs):
            raise InputError("two runs of the sweep are the same", hint="a value or a seed is there twice")
        self.out_dir = out_dir
        self.states = dict.fromkeys(self.runs, State.TODO)
        self.reasons: dict[str, str] = {}
        self._laws: LawsMode = laws
        self._changed = changed
        for folder, run in self.runs.items():
            if _is_done(out_dir / folder, run):
                self.states[folder] = State.DONE
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
            self._tell()
        except OSError as error:
            raise InputError(f"cannot write to {out_dir}: {error.strerror}") from None

    def count(self, state: State) -> int:
        return list(self.states.values()).count(state)

    def todo(self) -> list[str]:
        """The folders of the runs that are not done."""
        return [folder for folder, state in self.states.items() if state is not State.DONE]

    def summaries(self) -> list[dict[str, Any]]:
        """The summaries of all runs that are done, in their order."""
        done = (folder for folder, state in self.states.items() if state is State.DONE)
        return [json.loads((self.out_dir / folder / SUMMARY).read_bytes()) for folder in done]

    def enter(self, folder: str, state: State, reason: str = "") -> None:
        self.states[folder] = state
        if state is State.FAILED:
            self.reasons[folder] = reason
        self._tell()

    def _tell(self) -> None:
        rows = [
            {
                "folder": folder,
                "keys": run.keys,
                "seed": run.seed,
                "state": self.states[folder],
                **({"reason": self.reasons[folder]} if folder in self.reasons else {}),
            }
            for folder, run in self.runs.items()
        ]
        name = next(iter(self.runs.values())).scenario.name
        index = msgspec.json.encode({"scenario": name, "runs": rows})
        write_atomically(self.out_dir / INDEX, msgspec.json.format(index, indent=2))
        self._changed(self)

    # --- On this machine ----------------------------------------------------------------------------------

    def run_here(self, jobs: int) -> None:
        """Do what is to do, each run in a process of its own, `jobs` at a time; if interrupted, end them."""
        context = multiprocessing.get_context("spawn")
        waiting = self.todo()
        under_way: dict[str, SpawnProcess] = {}
        try:
            while waiting or under_way:
                while waiting and len(under_way) < jobs:
                    folder = waiting.pop(0)
                    run = self.runs[folder]
                    arguments = (run, self.out_dir / folder, self._laws, os.getpid())
                    process = context.Process(target=_work, args=arguments)
                    process.start()
                    under_way[folder] = process
                    self.enter(folder, State.RUNNING)
                wait([process.sentinel for process in under_way.values()])
                for folder, process in list(under_way.items()):
                    if not process.is_alive():
                        del under_way[folder]
                        self._ended(folder, process)
        finally:
            for process in under_way.values():
                process.terminate()
            for folder, process in under_way.items():
                process.join()
                self.enter(folder, State.TODO)

    def _ended(self, folder: str, process: SpawnProcess) -> None:
        process.join()
        path = self.out_dir / folder
        if process.exitcode == 0 and _is_done(path, self.runs[folder]):
            self.enter(folder, State.DONE)
        elif (path / FAILURE).exists():
            self.enter(folder, State.FAILED, json.loads((path / FAILURE).read_bytes())["reason"])
        else:
            self.enter(folder, State.FAILED, f"its process ended with {process.exitcode}")

    # --- Over a Dask cluster --------------------------------------------------------------------------------

    def run_on_dask(self, address: str) -> None:
        """The same on the workers of the Dask scheduler at `address`; their files come back over the network.

        Raises `EnvironmentMissing` without Dask, `Unreachable` when no scheduler answers.
        """
        try:
            dask: Any = import_module("distributed")
        except ImportError:
            raise EnvironmentMissing("Dask is not installed", hint="pip install 'lucos[dask]'") from None
        try:
            client = dask.Client(address, timeout=DASK_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            hint = "give the address of a Dask scheduler, such as tcp://head:8786"
            raise Unreachable(f"no Dask scheduler answers at {address}: {error}", hint=hint) from None
        with client:
            futures: dict[Any, str] = {}
            for folder in self.todo():
                future = client.submit(_work_away, self.runs[folder], self._laws, pure=False, retries=0)
                futures[future] = folder
                self.enter(folder, State.RUNNING)
            try:
                for future in dask.as_completed(list(futures), loop=client.loop):
                    self._came_back(futures[future], future)
            finally:
                client.cancel(list(futures))

    def _came_back(self, folder: str, future: Any) -> None:
        try:
            files: dict[str, bytes] = future.result()
        except Exception as error:
            self.enter(folder, State.FAILED, _reason(error))
            return
        path = self.out_dir / folder
        path.mkdir(parents=True, exist_ok=True)
        # The summary last: it says that the run is done.
        for name in sorted(files, key=lambda name: name == SUMMARY):
            write_atomically(path / name, files[name])
        self.enter(folder, State.DONE)

    def raise_failed(self) -> None:
        """Raises `OperationFailed` when runs failed."""
        failed = [folder for folder, state in self.states.items() if state is State.FAILED]
        if failed:
            first = failed[0]
            raise OperationFailed(
                f"{len(failed)} of {len(self.runs)} runs failed; {first}: {self.reasons[first]}",
                hint="the same command does what is not done yet",
            )


def _is_done(path: Path, run: Run) -> bool:
    try:
        summary = json.loads((path / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return False
    settings = json.loads(msgspec.json.encode(settings_of(run.scenario)))
    return bool(summary.get("settings") == settings and summary.get("seed") == run.seed)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, LucError) else f"{type(error).__name__}: {error}"


class _Orphaned(BaseException):
    """Whoever started this process is gone."""


def _work(run: Run, path: Path, laws: LawsMode, parent: int) -> None:
    """One run in a process of its own; ctrl-C is its parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (path / FAILURE).unlink(missing_ok=True)

    def watch(_: Progress) -> None:
        if os.getppid() != parent:
            raise _Orphaned

    try:
        run_one(run.scenario, run.seed, path, progress=watch, laws=laws)
    except _Orphaned:
        raise SystemExit(1) from None
    except Exception as error:
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / FAILURE, msgspec.json.encode({"reason": _reason(error)}))
        raise SystemExit(1) from None


def _work_away(run: Run, laws: LawsMode) -> dict[str, bytes]:
    """One run on another machine: the files it wrote, by name."""
    with tempfile.TemporaryDirectory() as folder:
        run_one(run.scenario, run.seed, Path(folder), laws=laws)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
