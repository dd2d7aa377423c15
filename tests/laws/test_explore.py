"""All interleavings of small worlds hold the laws; a broken one is told as a story with its replay."""

from __future__ import annotations

from lucos.simulator.explore import CASES, Explorer, decode, story, tell


def test_laws_hold_in_every_state(explored_case: str, explore_path: str | None) -> None:
    explorer = Explorer(CASES[explored_case]())
    if explore_path is not None:
        path = decode(explorer, explore_path)
        print(f"\n{story(explorer, path, len(path))}")
        return
    report = explorer.explore()
    print(report)
    assert report.finding is None, tell(explorer, report.finding)
    assert report.complete
