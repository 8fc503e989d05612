"""A queue's URL: what it names, and what is refused."""

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.queue.sqlite import SqliteOptions, parse_url


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sqlite:///var/queue.db", SqliteOptions(path=Path("var/queue.db"))),
        ("sqlite:////var/queue.db", SqliteOptions(path=Path("/var/queue.db"))),
        ("sqlite:///a%20b%3F.db", SqliteOptions(path=Path("a b?.db"))),
        ("sqlite:///q.db?partitions=8", SqliteOptions(path=Path("q.db"), partitions=8)),
        ("sqlite:///q.db?groups=", SqliteOptions(path=Path("q.db"), groups=())),
        ("sqlite:///q.db?groups=a,b", SqliteOptions(path=Path("q.db"), groups=("a", "b"))),
        (
            "sqlite:///q.db?max_bytes=1048576&max_age_seconds=60&keep_seconds=0",
            SqliteOptions(path=Path("q.db"), max_bytes=1_048_576, max_age_seconds=60, keep_seconds=0),
        ),
    ],
)
def test_a_url_says_file_and_bounds(url: str, options: SqliteOptions) -> None:
    assert parse_url(url) == options


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:", "expected sqlite:///"),
        ("sqlite://host/q.db", "expected sqlite:///"),
        ("sqlite:///", "names no file"),
        ("sqlite:///folder/", "names no file"),
        ("sqlite:///a%00b", "names no file"),
        ("sqlite:///q.db#part", "expected sqlite:///"),
        ("sqlite:///q.db?partitions=0", "from 1 to 1024"),
        ("sqlite:///q.db?partitions=1025", "from 1 to 1024"),
        ("sqlite:///q.db?partitions=four", "from 1 to 1024"),
        ("sqlite:///q.db?partitions=-1", "from 1 to 1024"),
        ("sqlite:///q.db?partitions=٤", "from 1 to 1024"),
        ("sqlite:///q.db?partitions=", "from 1 to 1024"),
        ("sqlite:///q.db?max_bytes=1", "from 1048576 to"),
        ("sqlite:///q.db?max_age_seconds=0", "from 1 to"),
        ("sqlite:///q.db?keep_seconds=99999999999", "from 0 to"),
        ("sqlite:///q.db?color=blue", "unknown option 'color'"),
        ("sqlite:///q.db?partitions=4&partitions=8", "given twice"),
        ("sqlite:///q.db?partitions", "bad query field"),
        ("sqlite:///q.db?groups=a,,b", "consumer group ''"),
        ("sqlite:///q.db?groups=a%20b", "consumer group 'a b'"),
        ("sqlite://[::1/q.db", "Invalid IPv6"),
    ],
)
def test_a_wrong_url_is_refused_with_what_is_wrong(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_url(url)
