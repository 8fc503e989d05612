"""The command line: read, check, then run. Whatever is wrong with it ends with status 2 before any request."""

import asyncio
from typing import Annotated

import typer

from deis_logs.output import Stdout, note
from deis_logs.profile import check_app
from deis_telemetry.autoscaler import Autoscaler, Form
from deis_telemetry.canarycli import canaries, graph_command
from deis_telemetry.options import (
    EVERY_SECONDS,
    PROGRAM,
    AnyNamespace,
    Json,
    Kubeconfig,
    TokenFile,
    Url,
    find_monitor,
)

app = typer.Typer(
    name=PROGRAM,
    help="Metrics, autoscalers and canaries of apps. Data goes to stdout, words to stderr.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(canaries)
app.command("graph")(graph_command)


@app.callback()
def _commands() -> None:
    """Metrics, autoscalers and canaries of apps. Data goes to stdout, words to stderr."""


App = Annotated[str, typer.Argument(metavar="APP", help="The app.", show_default=False)]
Process = Annotated[str, typer.Option("--process", "-p", metavar="TYPE", help="The process type.")]
Metric = Annotated[str, typer.Option(metavar="NAME", help="The value: see `deis-telemetry metrics APP`.")]
TargetQuantity = Annotated[str, typer.Option("--target", metavar="QUANTITY", help="Such as 50, 0.5 or 500m.")]
Least = Annotated[int, typer.Option("--min", metavar="N", help="Fewest pods.")]
Most = Annotated[int, typer.Option("--max", metavar="N", help="Most pods.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="Default: the app's name.")]
Deployment = Annotated[str, typer.Option(metavar="NAME", help="What is scaled. Default: APP-TYPE.")]
FormOption = Annotated[Form, typer.Option("--form", help="Which metrics API is asked.")]
Apply = Annotated[bool, typer.Option("--apply", help="Apply it, in place of printing it.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not look for other autoscalers of the same pods.")]

OneMetric = Annotated[str, typer.Option("--metric", metavar="NAME", help="Only this metric.")]
By = Annotated[str, typer.Option(metavar="LABELS", help="What series are told apart by, separated by commas.")]
Window = Annotated[int, typer.Option(metavar="SECONDS", min=10, max=900, help="Of the values: a multiple of ten.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it again every five seconds.")]


@app.command("metrics")
def metrics_command(
    app: App,
    *,
    metric: OneMetric = "",
    by: By = "process,release",
    window: Window = 60,
    namespace: AnyNamespace = "",
    watch: Watch = False,
    json: Json = False,
    url: Url = None,
    token_file: TokenFile = None,
) -> None:
    """Show the metrics that there are of an app: values, how old they are, and the last minutes."""
    target = find_monitor(url=url, token_file=token_file)
    from deis_telemetry.metrics import Asked, show_metrics  # noqa: PLC0415 - 0.3 s, not for --help

    asked = Asked(app=check_app(app), namespace=namespace, metric=metric, by=by, window_seconds=window)
    every_seconds = EVERY_SECONDS if watch else None
    asyncio.run(show_metrics(target, asked, as_json=json, every_seconds=every_seconds))


@app.command("hpa")
def hpa_command(
    app: App,
    *,
    target: TargetQuantity,
    metric: Metric = "requests_per_second",
    process: Process = "web",
    least: Least = 1,
    most: Most = 10,
    namespace: Namespace = "",
    deployment: Deployment = "",
    form: FormOption = Form.EXTERNAL,
    apply: Apply = False,
    offline: Offline = False,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print an autoscaler of an app's process by one of its metrics, or apply it."""
    scaler = Autoscaler(
        app=app,
        process=process,
        namespace=namespace or app,
        deployment=deployment or f"{app}-{process}",
        metric=metric,
        target=target,
        least=least,
        most=most,
        form=form,
    )
    scaler.check()
    if apply and offline:
        raise typer.BadParameter("it cannot be applied without a look at what is there", param_hint="--offline")
    from deis_telemetry.autoscaling import apply_autoscaler, print_autoscaler  # noqa: PLC0415 - 0.3 s, not for --help

    if apply:
        asyncio.run(apply_autoscaler(scaler, kubeconfig=kubeconfig, stdout=Stdout()))
        return
    warnings = asyncio.run(print_autoscaler(scaler, kubeconfig=kubeconfig, offline=offline, stdout=Stdout()))
    for warning in warnings:
        note(warning, program=PROGRAM)
