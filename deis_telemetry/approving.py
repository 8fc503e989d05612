"""What `deis-telemetry canary approve` and `abort` do: say at the API server what a person wants."""

from pathlib import Path
from typing import Final

from deis_logs.errors import CliError
from deis_telemetry.cluster import annotate_canary, connected, read_canary, source_of
from deis_telemetry.judged import Status

GROUP: Final = "canary.deis.io"
APPROVE: Final = f"{GROUP}/approve"
ABORT: Final = f"{GROUP}/abort"


async def approve(path: str, *, what: str, kubeconfig: Path | None) -> str:
    """Let happen what waits; what was done, in a sentence.

    The annotation names the analysis and what is let happen, so it lets nothing happen that comes after.

    Args:
        path: `namespace/name`.
        what: `promote` or `rollback`; empty for whichever waits.
        kubeconfig: How the API server is reached.

    Raises:
        CliError: Nothing waits, or something else; or the API server refuses.
        LostError: It does not answer.
    """
    namespace, _, name = path.partition("/")
    async with connected(source_of(kubeconfig)) as client:
        status = await read_canary(client, namespace, name)
        if not status.pending:
            raise CliError(f"{path} waits for nobody: it is {status.phase}, {status.reason or 'without a reason'}")
        if what not in ("", status.pending):
            raise CliError(f"{path} waits for {status.pending}, not for {what}")
        await annotate_canary(client, namespace, name, {APPROVE: f"{status.key}:{status.pending}"})
    return f"{path}: {_named(status.pending, status)} is approved"


async def abort(path: str, *, kubeconfig: Path | None) -> str:
    """Let a release go back, whatever the counts say; what was done, in a sentence.

    Raises:
        CliError: Nothing is judged; or the API server refuses.
        LostError: It does not answer.
    """
    namespace, _, name = path.partition("/")
    async with connected(source_of(kubeconfig)) as client:
        status = await read_canary(client, namespace, name)
        if not status.key:
            raise CliError(f"{path} judges nothing: it is {status.phase}, {status.reason or 'without a reason'}")
        await annotate_canary(client, namespace, name, {ABORT: status.key})
    return f"{path}: {_named('rollback', status)} is asked for"


def _named(what: str, status: Status) -> str:
    return f"{what} of {status.canary_release}" if status.canary_release else what
