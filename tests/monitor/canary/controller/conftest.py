"""The model of a world beside which a canary's steps are driven."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module
