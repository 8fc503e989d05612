"""Consumer groups that nobody reads as any more: listed, forgotten, and then holding nothing."""

from pathlib import Path

import pytest

from pipeline.errors import FatalError
from pipeline.queue.sqlite import SqliteConsumer, SqliteProducer, parse_url
from pipeline.queue.sqlite.database import open_database
from pipeline.queue.sqlite.groups import GroupLag, forget, list_groups
from pipeline.queue.sqlite.options import SqliteOptions
from pipeline.queue.sqlite.retention import STEP_BYTES, step

NS = 10**9


@pytest.fixture
async def options(tmp_path: Path) -> SqliteOptions:
    """A queue with three records, which the logger has read and a monitor that is gone has not."""
    made = parse_url(f"sqlite:///{tmp_path}/queue.db?partitions=2&keep_seconds=0")
    producer = await SqliteProducer.open(made)
    gone, logger = await SqliteConsumer.open(made, group="monitor"), await SqliteConsumer.open(made, group="logger")
    await producer.send(0, [b"a" * 10, b"b" * 10])
    await producer.send(1, [b"c" * 10])
    await logger.commit({0: 2, 1: 1})
    await gone.commit({0: 1})
    for opened in (producer, gone, logger):
        await opened.close()
    return made


async def test_groups_are_listed_with_what_they_hold(options: SqliteOptions) -> None:
    assert list_groups(options) == [GroupLag("logger", 0, 0), GroupLag("monitor", 2, 20)]


async def test_a_group_that_is_forgotten_holds_nothing_more_and_what_others_hold_stays(options: SqliteOptions) -> None:
    options = parse_url(f"sqlite:///{options.path}?keep_seconds=0&max_age_seconds=315360000")
    database = open_database(options, durable=True)
    now_ns = database.connection.execute("SELECT max(time_ns) FROM records").fetchone()[0] + NS
    step(database, options, now_ns=now_ns, step_bytes=STEP_BYTES)
    assert database.connection.execute("SELECT count(*) FROM records").fetchone()[0] == 2
    assert forget(options, "monitor") == GroupLag("monitor", 2, 20)
    assert [held.group for held in list_groups(options)] == ["logger"]
    step(database, options, now_ns=now_ns, step_bytes=STEP_BYTES)
    assert database.connection.execute("SELECT count(*) FROM records").fetchone()[0] == 0
    assert database.connection.execute("SELECT count(*) FROM losses").fetchone()[0] == 0
    database.close()


async def test_a_group_that_is_not_there_is_refused_with_the_names_of_those_that_are(options: SqliteOptions) -> None:
    with pytest.raises(FatalError, match="no consumer group 'moniter'; it has logger, monitor"):
        forget(options, "moniter")


async def test_a_group_that_is_still_read_registers_again_as_a_whole(options: SqliteOptions) -> None:
    reader = await SqliteConsumer.open(options, group="monitor")
    forget(options, "monitor")
    await reader.commit({0: 2})
    assert await reader.committed() == {0: 2, 1: 0}
    await reader.close()
