"""`--law-seed N` replays one seed of the law tests; `--law-seeds N` says how many there are."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--law-seed", type=int, default=None, help="replay this seed alone")
    parser.addoption("--law-seeds", type=int, default=200, help="how many seeds to run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "law_seed" in metafunc.fixturenames:
        only = metafunc.config.getoption("--law-seed")
        count = metafunc.config.getoption("--law-seeds")
        metafunc.parametrize("law_seed", [only] if only is not None else range(count))
