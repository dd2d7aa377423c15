"""The tales are as written down, and the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tales import TALES
from transcript import check_transcript

HERE = Path(__file__).parent
SEED = 7


@pytest.mark.parametrize("name", TALES)
def test_the_tale_is_as_written(name: str) -> None:
    check_transcript(TALES[name](SEED), HERE / "stories" / f"{name}.txt")


def test_a_seed_tells_the_same_tale_in_every_process() -> None:
    def tell(hash_seed: str) -> str:
        command = [sys.executable, str(HERE / "tales.py"), "cut", "11"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    assert tell("1") == tell("2") == TALES["cut"](11)
    assert TALES["cut"](11) != TALES["cut"](12)
