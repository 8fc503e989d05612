"""The contract of every queue, held against a real broker."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]

_CONTRACT = Path(__file__).parents[1] / "pipeline" / "test_queue_contract.py"
_SPEC = importlib.util.spec_from_file_location("queue_contract", _CONTRACT)
assert _SPEC is not None
assert _SPEC.loader is not None
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)

globals().update({name: test for name, test in vars(_MODULE).items() if name.startswith("test_")})
