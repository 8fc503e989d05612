"""What an operator does by hand, beside a logger that runs or without one."""

import asyncio
from typing import Any

import pytest
import zstandard

from logger import commands
from logger.__main__ import main
from logger.commands import positions
from logger.commands.gaps import _row
from logger.settings import LoggerSettings
from logger.table.writer import IngestTable
from pipeline.chunk import Origin
from pipeline.errors import FatalError, FencedError
from pipeline.lines.gaps import Gap, GapName
from pipeline.pack import encode_pack
from pipeline.queue import open_consumer

T0 = 1_790_000_000_000_000_000


async def test_a_position_that_the_queue_lost_stops_one_shard_until_an_operator_skips_it(site: Any) -> None:
    await site.send(0, 0, 5)
    await site.send(1, 0, 5)
    async with site.logger(0, 1) as logger:
        await site.until(lambda: logger.rows(0) == logger.rows(1) == 5)
        logger.member.gone_before = {0: 3}
        await site.until(lambda: 0 in logger.ingest.owned.blocked)
        for low in (5, 10, 15):
            await site.send(0, low, low + 5)
        await site.send(1, 5, 10)
        await site.until(lambda: "python -m logger skip" in logger.health.problems().get("shards", ""))
        assert logger.count("logger_blocked_records", shard="0") == 2
        await site.until(lambda: logger.rows(1) == 10)
        # What was read before is not lost with the position.
        await logger.ingest._flush.flush(logger.stopping)
        assert site.stored() == site.messages((0, 0, 5), (1, 0, 10))
        table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
        told = await asyncio.to_thread(positions.skip_to, table, 0, 3, 4)
        assert "2 records are lost, from 1 on; it goes on at 3" in told
        await site.until(lambda: logger.rows(0) == 5 and logger.head.ends()[0] == 4)
        assert logger.count("logger_lost_records_total") == 2
        assert logger.count("logger_gap_bytes_total") == site.ends[0][15] - site.ends[0][5]
        await site.until(lambda: not logger.health.problems())
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 5), (0, 15, 20), (1, 0, 10))


async def test_skip_refuses_what_is_no_loss(site: Any) -> None:
    await site.send(0, 0, 5)
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 5)
        logger.stopping.set()
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    assert "nothing to skip" in await commands.skip(settings, 0)
    assert "no position yet" in await commands.skip(settings, 1)
    with pytest.raises(FatalError, match="shards 0 to 2"):
        await commands.skip(settings, 3)
    table = await asyncio.to_thread(IngestTable.open, site.store_url, queue_id=site.producer.queue_id)
    with pytest.raises(FatalError, match="needs a new topic"):
        await asyncio.to_thread(positions.skip_to, table, 0, 0, 0)


async def test_replay_sends_what_can_be_read_now_and_leaves_the_rest(site: Any) -> None:
    folder = site.folder / "letters"
    folder.mkdir()
    good = encode_pack([], node="n1", heartbeat_ns=T0, compressor=zstandard.ZstdCompressor())
    (folder / "1-7.record").write_bytes(good)
    (folder / "2-9.record").write_bytes(b"rubbish")
    settings = LoggerSettings(queue_url=site.url, dead_letters=str(folder))
    assert "1 records sent back into the queue; 1 cannot" in await commands.replay(settings)
    assert [path.name for path in folder.iterdir()] == ["2-9.record"]
    consumer = await open_consumer(site.url, group="logger")
    assert await consumer.ends() == {0: 0, 1: 1, 2: 0}
    await consumer.close()


def lose_some(site: Any) -> Any:
    """Send lines 0 to 4 and 10 to 14 of shard 0, and heartbeats: lines 5 to 9 are missing."""

    async def send() -> None:
        await site.send(0, 0, 5, heartbeat_ns=T0 + 1)
        await site.send(0, 10, 15, heartbeat_ns=T0 + 2)
        await site.send(0, 15, 16, heartbeat_ns=T0 + 3)

    return send()


@pytest.mark.parametrize("shared", [True, False], ids=["many loggers", "one logger"])
async def test_a_gap_that_is_accepted_holds_nothing_more_while_the_logger_runs(site: Any, shared: bool) -> None:
    await lose_some(site)
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    async with site.logger(0, flush_seconds=0.05, shared=shared) as logger:
        await site.until(lambda: logger.count("logger_commits_total") > 0 and logger.rows(0) == 11)
        await site.until(lambda: logger.head.shard_watermark(0) == T0 + 1)
        listing, told = await commands.gaps(settings)
        name = GapName.parse(listing.splitlines()[1].split("\t")[0])
        assert (name.shard, name.start, name.end) == (0, site.ends[0][5], site.ends[0][10])
        size = name.end - name.start
        assert told == f"1 gaps, {size} bytes; 0 bytes were accepted as lost before"
        assert f"shard 0: 1 gaps, {size} bytes are declared lost" in await commands.accept_gap(settings, [name])
        await site.until(lambda: logger.head.shard_watermark(0) == T0 + 3)
        assert logger.count("logger_open_gaps", shard="0") == logger.count("logger_open_gap_bytes", shard="0") == 0
        assert logger.count("logger_accepted_gap_bytes", shard="0") == size
        await site.send(0, 16, 20)
        await site.until(lambda: logger.head.ends()[0] == 4)
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 5), (0, 10, 20))
    assert await commands.gaps(settings) == ("", f"0 gaps, 0 bytes; {size} bytes were accepted as lost before")


@pytest.mark.parametrize("shared", [True, False], ids=["many loggers", "one logger"])
async def test_rows_that_wait_for_a_commit_while_a_gap_is_accepted_are_committed_once(site: Any, shared: bool) -> None:
    await lose_some(site)
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    async with site.logger(0, shared=shared) as logger:
        await site.until(lambda: logger.rows(0) == 11)
        await logger.ingest._flush.flush(logger.stopping)
        logger.ingest.owned._look_at = 2.0**60  # it is not looked for: the fence must tell
        listing, _ = await commands.gaps(settings)
        await site.send(0, 16, 20)
        await site.until(lambda: logger.rows(0) == 15)
        await commands.accept_gap(settings, [GapName.parse(listing.splitlines()[1].split("\t")[0])])
        await logger.ingest._flush.flush(logger.stopping)
        await site.until(lambda: logger.rows(0) == 4)
        assert logger.count("logger_open_gaps", shard="0") == 0
        logger.stopping.set()
    assert site.stored() == site.messages((0, 0, 5), (0, 10, 20))


async def test_a_logger_that_is_alone_still_ends_when_another_commits_its_shards(site: Any) -> None:
    async def replace() -> None:
        async with site.logger(0, shared=False) as replaced:
            await site.until(lambda: replaced.rows(0) == 10)
            async with site.logger(0, shared=False) as other:
                await site.until(lambda: other.rows(0) == 10)
                other.stopping.set()
            replaced.stopping.set()

    await site.send(0, 0, 10)
    with pytest.raises(ExceptionGroup) as caught:
        await replace()
    assert caught.group_contains(FencedError)
    assert site.stored() == site.messages((0, 0, 10))


async def test_nothing_is_accepted_when_one_of_the_names_is_no_gap(site: Any) -> None:
    await lose_some(site)
    settings = LoggerSettings(queue_url=site.url, store_url=site.store_url)
    assert await commands.gaps(settings) == ("", "the table knows nothing of this queue yet")
    async with site.logger(0) as logger:
        await site.until(lambda: logger.rows(0) == 11)
        logger.stopping.set()
    listing, _ = await commands.gaps(settings)
    name = GapName.parse(listing.splitlines()[1].split("\t")[0])
    for wrong in (name._replace(shard=1), name._replace(end=name.end + 1), name._replace(source=b"x" * 16)):
        with pytest.raises(FatalError, match=r"no such gap|nothing of it"):
            await commands.accept_gap(settings, [name, wrong])
    assert (await commands.gaps(settings))[0] == listing


def test_names_in_a_listing_do_not_act_on_a_terminal(run: Any) -> None:
    origin = Origin("n\x1b[1m", "ns", "p\ti", "u1", "c\n", 2, "ä", "web", "v1")
    row = _row(Gap(GapName(0, b"s" * 16, 1, 3), origin.node, origin, 4, 0))
    assert row == f"0:{(b's' * 16).hex()}:1-3\t2\tn\\x1b[1m\t\\xe4\tp\\ti\tc\\n\t2\t4\t-"


async def test_a_command_makes_no_queue_where_its_url_is_misspelt(site: Any) -> None:
    missing = site.folder / "other.db"
    settings = LoggerSettings(queue_url=f"sqlite:///{missing}", store_url=site.store_url)
    for command in (commands.gaps(settings), commands.skip(settings, 0), commands.groups(settings)):
        with pytest.raises(FatalError, match="there is no queue"):
            await command
    assert not missing.exists()


async def test_groups_are_listed_and_forgotten_but_not_the_loggers_own(site: Any) -> None:
    await (await open_consumer(site.url, group="monitor")).close()
    await site.send(0, 0, 5)
    settings = LoggerSettings(queue_url=site.url)
    listing, told = await commands.groups(settings)
    assert [row.split("\t")[:2] for row in listing.splitlines()] == [
        ["group", "records"],
        ["logger", "1"],
        ["monitor", "1"],
    ]
    assert told == "2 groups"
    assert (await commands.forget_group(settings, "monitor")).startswith(
        "monitor is forgotten; it had not read 1 records"
    )
    with pytest.raises(FatalError, match="own group"):
        await commands.forget_group(settings, "logger")
    with pytest.raises(FatalError, match="of Kafka hold no records"):
        await commands.groups(LoggerSettings(queue_url="kafka://localhost:1/logs"))


def test_the_command_line_puts_data_on_stdout_and_words_on_stderr(
    site: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUE_URL", site.url)
    monkeypatch.setenv("STORE_URL", site.store_url)
    assert main(["groups"]) == 0
    assert capsys.readouterr() == ("group\trecords\tbytes\nlogger\t0\t0\n", "1 groups\n")
    assert main(["forget-group", "nobody"]) == 1
    assert "no consumer group 'nobody'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["accept-gap", "nonsense"])
    assert ended.value.code == 2
    assert "'nonsense' is no gap" in capsys.readouterr().err
