"""Stories about VEs end with nothing run twice and no actor failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ve_stories import Story


@pytest.fixture
def story() -> Iterator[Story]:
    told = Story()
    yield told
    told.check()
