"""What the tests of the metrics APIs share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module

from told_reader import ToldReader


@pytest.fixture
def reader() -> ToldReader:
    """Complete up to twelve seconds ago, and nothing was ever measured."""
    return ToldReader()
