"""`--law-seed N` replays one seed of the law tests, `--law-seeds N` says how many there are.

`--explore-path CASE:choices` replays a path that exploration printed; `--explore-long` explores the cases
that take minutes too.
"""

from __future__ import annotations

import pytest

from lucos.simulator.explore import LONG, QUICK


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--law-seed", type=int, default=None, help="replay this seed alone")
    parser.addoption("--law-seeds", type=int, default=200, help="how many seeds to run")
    parser.addoption("--explore-path", default=None, help="replay this path alone")
    parser.addoption("--explore-long", action="store_true", help="explore the long cases too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    if "law_seed" in metafunc.fixturenames:
        only, count = config.getoption("--law-seed"), config.getoption("--law-seeds")
        metafunc.parametrize("law_seed", [only] if only is not None else range(count))
    if "explored_case" in metafunc.fixturenames:
        path = config.getoption("--explore-path")
        names = [*QUICK, *LONG] if config.getoption("--explore-long") else [*QUICK]
        metafunc.parametrize("explored_case", [path.partition(":")[0]] if path else names)


@pytest.fixture
def explore_path(request: pytest.FixtureRequest) -> str | None:
    """The path to replay, if one was given."""
    path: str | None = request.config.getoption("--explore-path")
    return path
