"""`python -m logger`: the logger alone. With `replay` or `skip`: see `logger.commands`."""

import argparse
import asyncio
import sys

from logger import aggregator, commands
from logger.settings import LoggerSettings
from pipeline.errors import PipelineError, SettingsError
from pipeline.failpoints import arm
from pipeline.service import run_service, set_up_log


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop, or do what is asked.

    Returns:
        0 after an orderly stop or when it is done, 1 after an error, 2 for a wrong setting or command line.
    """
    asked = _parser().parse_args(arguments)
    try:
        settings = LoggerSettings.load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    set_up_log(settings)
    arm(settings.failpoint)
    if asked.command is not None:
        return _do(asked, settings)
    return run_service(lambda stopping: aggregator.run(settings, stopping))


def _do(asked: argparse.Namespace, settings: LoggerSettings) -> int:
    try:
        told = asyncio.run(commands.replay(settings) if asked.command == "replay" else _skip(asked, settings))
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{told}\n")
    return 0


async def _skip(asked: argparse.Namespace, settings: LoggerSettings) -> str:
    return "\n".join([await commands.skip(settings, shard) for shard in asked.shard])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m logger", description="The logger; without a command it runs.")
    actions = parser.add_subparsers(dest="command")
    actions.add_parser("replay", help="send records that were kept aside, and can be read now, back into the queue")
    skip = actions.add_parser("skip", help="go on with a shard whose position the queue no longer has")
    skip.add_argument("--shard", type=int, action="append", required=True, help="its number; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
