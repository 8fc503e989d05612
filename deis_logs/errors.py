"""The error tree of the command. Each error ends it with a status and one clear line on stderr.

::

    CliError                  1   failed
    +-- UsageError            2   the command line, a setting or a parameter is wrong; repeating cannot help
    +-- ServerError           1   the logger refused or answered what nobody understands; repeating cannot help
    |   +-- GoneError         1   the cursor means nothing any more: begin anew
    +-- LostError             1   no answer, or one that broke off: the same request may succeed later
"""


class CliError(Exception):
    """The command cannot do what it was asked for; the message says why and what to do."""

    exit_status = 1


class UsageError(CliError):
    """What was typed or set is wrong."""

    exit_status = 2


class ServerError(CliError):
    """The logger's answer is final and is no success."""


class GoneError(ServerError):
    """The cursor means nothing any more, since the logger's queue was replaced; what it stood for can be asked anew."""


class LostError(CliError):
    """The logger did not answer, or its answer broke off; the same request may succeed later."""
