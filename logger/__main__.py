"""`python -m logger`: the logger alone. With a command: what an operator does by hand, see `logger.commands`."""

import argparse
import asyncio
import sys

from logger import aggregator, commands
from logger.settings import LoggerSettings
from pipeline.errors import PipelineError, SettingsError
from pipeline.failpoints import arm
from pipeline.lines.gaps import GapName
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
    """Do what is asked: data to stdout, words to stderr."""
    try:
        data, words = asyncio.run(_asked(asked, settings))
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(data)
    sys.stderr.write(f"{words}\n")
    return 0


async def _asked(asked: argparse.Namespace, settings: LoggerSettings) -> tuple[str, str]:
    match asked.command:
        case "replay":
            return "", await commands.replay(settings)
        case "skip":
            return "", "\n".join([await commands.skip(settings, shard) for shard in asked.shard])
        case "gaps":
            return await commands.gaps(settings)
        case "accept-gap":
            return "", await commands.accept_gap(settings, asked.gap)
        case "groups":
            return await commands.groups(settings)
        case _:
            return "", await commands.forget_group(settings, asked.group)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m logger", description="The logger; without a command it runs.")
    actions = parser.add_subparsers(dest="command")
    actions.add_parser("replay", help="send records that were kept aside, and can be read now, back into the queue")
    skip = actions.add_parser("skip", help="go on with a shard whose position the queue no longer has")
    skip.add_argument("--shard", type=int, action="append", required=True, help="its number; may be repeated")
    actions.add_parser("gaps", help="list bytes that are missing and hold Complete-Up-To, one gap a line")
    accept = actions.add_parser("accept-gap", help="declare gaps lost, so that nothing waits for them any more")
    accept.add_argument("gap", type=_gap, nargs="+", help="its name: the first column of what `gaps` lists")
    actions.add_parser("groups", help="list the consumer groups of a queue of one machine, and what each holds")
    forget = actions.add_parser("forget-group", help="let a consumer group that is abandoned hold no more records")
    forget.add_argument("group", help="its name")
    return parser


def _gap(text: str) -> GapName:
    try:
        return GapName.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
