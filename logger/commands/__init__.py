"""What an operator does by hand: `python -m logger COMMAND`, with the settings of a logger, beside loggers that run.

::

    letters      replay        records that were kept aside, and can be read now, go back into the queue
    positions    skip          a shard whose position the queue no longer has goes on at the oldest record
    gaps         gaps          bytes that are missing and hold `Complete-Up-To`, listed
                 accept-gap    declared lost
    groups       groups        consumer groups of a queue of one machine, listed
                 forget-group  one that is abandoned holds no more records
    shards       how a command reads and changes what the table knows of a shard

A command is a function that takes the settings and returns what to tell; `logger.__main__` has the command line.
"""

from logger.commands.gaps import accept_gap, gaps
from logger.commands.groups import forget_group, groups
from logger.commands.letters import replay
from logger.commands.positions import skip

__all__ = ["accept_gap", "forget_group", "gaps", "groups", "replay", "skip"]
