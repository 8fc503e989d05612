"""What `deis-telemetry hpa` does: look, then print or apply."""

from pathlib import Path

from deis_logs.errors import CliError, LostError
from deis_logs.output import Stdout
from deis_telemetry.autoscaler import MANAGER, Autoscaler, text_of
from deis_telemetry.cluster import apply, connected, others, source_of


def warning_of(names: list[str], scaler: Autoscaler) -> str:
    """What is to be said of other autoscalers of the same pods."""
    listed = ", ".join(names)
    advice = f"`deis autoscale:unset {scaler.process} -a {scaler.app}`" if scaler.deployment in names else "delete it"
    return f"{listed} scales {scaler.deployment} already, and two autoscalers stop each other: {advice} first"


async def print_autoscaler(scaler: Autoscaler, *, kubeconfig: Path | None, offline: bool, stdout: Stdout) -> list[str]:
    """Print the autoscaler; returns warnings."""
    warnings: list[str] = []
    if not offline:
        try:
            async with connected(source_of(kubeconfig)) as client:
                names = await others(client, scaler)
            warnings = [warning_of(names, scaler)] if names else []
        except CliError as error:
            warnings = [f"not looked for other autoscalers of {scaler.deployment}: {error}"]
    stdout.write(text_of(scaler).encode())
    stdout.flush()
    return warnings


async def apply_autoscaler(scaler: Autoscaler, *, kubeconfig: Path | None, stdout: Stdout) -> None:
    """Apply the autoscaler, unless another one scales the same pods.

    Raises:
        CliError: Another one does; or the API server refuses.
        LostError: It does not answer.
    """
    try:
        async with connected(source_of(kubeconfig)) as client:
            if names := await others(client, scaler):
                raise CliError(warning_of(names, scaler))
            await apply(client, scaler)
    except LostError as error:
        raise LostError(f"nothing was applied that is known of: {error}") from error
    stdout.write(f"{scaler.namespace}/{scaler.name} applied by {MANAGER}\n".encode())
    stdout.flush()
