"""`deis-telemetry`: see `deis_logs.process` for how it ends."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deis_logs.process import run_command

if TYPE_CHECKING:
    import typer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `run_command`."""
    return run_command(_load, program="deis-telemetry", arguments=arguments)


def _load() -> "typer.Typer":
    from deis_telemetry.cli import app  # noqa: PLC0415 - see `run_command`

    return app


if __name__ == "__main__":
    sys.exit(main())
