"""Canaries of files: judged as all are, shown, and never acted on."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from model_reader import START, Told
from prometheus_client import CollectorRegistry

from monitor.canary.board import Board
from monitor.canary.counts import MINUTE_NS
from monitor.canary.folder import FILE_BYTES, FolderJudge, described
from monitor.canary.observe.journal import KEPT_NS, PREFIX, Journal
from monitor.canary.observe.observer import Observer
from monitor.canary.observe.rows import Seen, moment_of
from monitor.canary.resource.canary import InvalidCanaryError
from monitor.canary.resource.spec import ActPolicy
from monitor.canary.resource.status import CanaryStatus, Phase
from monitor.canary.run import judge_folder
from monitor.canary.selfmetrics import CanaryMetrics
from monitor.canary.settings import CanarySettings
from monitor.canary.simulate import read_json
from monitor.canary.views import canary_routes
from pipeline.auth import EVERYTHING, GRANT, Grant
from pipeline.store import Store, open_store

FILE = """
apiVersion: canary.deis.io/v1alpha1
kind: Canary
metadata:
  name: web
  namespace: shop
  annotations:
    canary.deis.io/stable-release: "1"
    canary.deis.io/canary-release: "2"
spec:
  policy: auto
  targetRef: {name: shop}
  steps: [{minTime: 6m}]
  metrics: [{name: errors, source: errors, warmUp: 1m}]
"""
GOOD = {("1", "200"): 298, ("1", "500"): 2, ("2", "200"): 298, ("2", "500"): 2}
BAD = {("1", "200"): 298, ("1", "500"): 2, ("2", "200"): 260, ("2", "500"): 40}


class Judged:
    """A folder with files, a judge, and time that passes when told."""

    def __init__(self, folder: Path, counts: dict[tuple[str, str], int]) -> None:
        self.folder = folder / "canaries"
        self.folder.mkdir()
        self.reader = Told(counts)
        self.store: Store = open_store(str(folder), directory="monitor")
        observer = Observer(
            reader=self.reader,
            store=self.store,
            prometheus=None,
            registry=CollectorRegistry(),
            clock_ns=lambda: self.reader.watermark + 20_000_000_000,
        )
        self.registry = CollectorRegistry()
        self.metrics = CanaryMetrics(self.registry)
        self.judge = FolderJudge(
            self.folder,
            reader=self.reader,
            observer=observer,
            metrics=self.metrics,
            now=lambda: moment_of(self.reader.watermark),
        )

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            await self.judge.look()
            self.reader.watermark += MINUTE_NS
        await self.judge.look()

    async def status(self) -> CanaryStatus:
        (canary,) = await self.judge.canaries()
        return canary.status


@pytest.mark.parametrize(("counts", "reason"), [(GOOD, "WouldPromote"), (BAD, "WouldRollBack")])
async def test_a_release_of_a_file_is_judged_and_what_would_be_done_is_said(
    tmp_path: Path, counts: dict[tuple[str, str], int], reason: str
) -> None:
    judged = Judged(tmp_path, counts)
    (judged.folder / "web.yaml").write_text(FILE)
    await judged.minutes(20)
    status = await judged.status()
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, reason)
    assert status.evidence[0].metric == "errors"


async def test_nothing_is_decided_while_the_data_is_away(tmp_path: Path) -> None:
    judged = Judged(tmp_path, GOOD)
    (judged.folder / "web.yaml").write_text(FILE)
    await judged.minutes(2)
    judged.reader.silent = True
    await judged.minutes(30)
    assert (await judged.status()).phase == Phase.PROGRESSING
    assert (await judged.status()).reason == "MissingData"


async def test_a_file_that_changed_is_judged_anew_and_one_that_is_gone_is_not_shown(tmp_path: Path) -> None:
    judged = Judged(tmp_path, GOOD)
    (judged.folder / "web.yaml").write_text(FILE)
    await judged.minutes(3)
    before = (await judged.status()).since
    (judged.folder / "web.yaml").write_text(FILE.replace("6m", "7m"))
    await judged.judge.look()
    after = (await judged.status()).since
    assert before is not None
    assert after is not None
    assert after - before >= timedelta(minutes=2)
    (judged.folder / "web.yaml").unlink()
    await judged.judge.look()
    assert await judged.judge.canaries() == []


def test_whatever_a_file_says_it_is_a_dry_run() -> None:
    assert described(FILE).canary.spec.policy == ActPolicy.DRY_RUN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "{",
        "metadata: {name: 1}",
        FILE.replace("canary.deis.io/canary-release", "x"),
        FILE.replace("minTime: 6m", "minTime: soon"),
        "a: &a [*a]",
    ],
)
async def test_a_file_that_makes_no_sense_is_left_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidCanaryError):
        described(text)
    judged = Judged(tmp_path, GOOD)
    (judged.folder / "bad.yaml").write_text(text)
    (judged.folder / "long.yaml").write_text(FILE + "#" * FILE_BYTES)
    (judged.folder / "web.yaml").write_text(FILE)
    await judged.minutes(1)
    assert len(await judged.judge.canaries()) == 1


@contextmanager
def shown(board: Board, grant: Grant) -> Iterator[TestClient[web.Request, web.Application]]:
    @web.middleware
    async def granted(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[GRANT] = grant
        return await handler(request)

    app = web.Application(middlewares=[granted])
    app.add_routes(canary_routes(board))
    yield TestClient(TestServer(app))


async def answers(judged: Judged, path: str, grant: Grant = EVERYTHING) -> tuple[int, bytes]:
    board = Board(judged.store)
    with board.showing(judged.judge.canaries), shown(board, grant) as client:
        async with client:
            answer = await client.get(path)
            return answer.status, await answer.read()


@pytest.fixture
async def decided(tmp_path: Path) -> Judged:
    judged = Judged(tmp_path, BAD)
    (judged.folder / "web.yaml").write_text(FILE)
    await judged.minutes(20)
    return judged


async def test_what_is_shown_is_what_it_was_decided_by(decided: Judged) -> None:
    status, body = await answers(decided, "/v1/canaries")
    assert status == 200
    assert b"WouldRollBack" in body
    status, body = await answers(decided, "/v1/canaries/shop/web/counts")
    assert status == 200
    counts: Any = json.loads(body)
    observation = read_json(json.dumps(counts["observation"]).encode())
    assert observation.start_ns == START + MINUTE_NS
    assert observation.metrics[0].minutes[0].canary_e == 40
    status, body = await answers(decided, "/v1/canaries/shop/web/picture.svg")
    assert status == 200
    assert ET.fromstring(body.decode()).tag.endswith("svg")  # noqa: S314 - our own
    status, body = await answers(decided, "/v1/graph")
    assert status == 200
    assert b'"edges": []' in body


async def test_a_token_sees_only_what_it_opens_and_not_that_there_is_more(decided: Judged) -> None:
    other = Grant(b"", "other", frozenset({"api"}))
    assert (await answers(decided, "/v1/canaries", other))[1] == b'{"canaries": []}'
    closed = await answers(decided, "/v1/canaries/shop/web", other)
    absent = await answers(decided, "/v1/canaries/shop/none", other)
    assert closed[0] == absent[0] == 404
    for view in ("counts", "picture.svg"):
        assert (await answers(decided, f"/v1/canaries/shop/web/{view}", other))[0] == 404


async def test_how_it_stands_and_how_it_ended_are_metrics(tmp_path: Path) -> None:
    judged = Judged(tmp_path, BAD)
    (judged.folder / "web.yaml").write_text(FILE)
    known = {"namespace": "shop", "name": "web"}
    with judged.metrics.showing(judged.judge.known):
        await judged.minutes(2)
        assert judged.registry.get_sample_value("monitor_canary_status", {**known, "phase": "Progressing"}) == 1
        await judged.minutes(20)
        assert judged.registry.get_sample_value("monitor_canary_status", {**known, "phase": "Progressing"}) is None
        assert judged.registry.get_sample_value("monitor_canary_status", {**known, "phase": "Inconclusive"}) == 1
        evidence = judged.registry.get_sample_value("monitor_canary_log_evidence", {**known, "metric": "errors"})
        assert evidence == pytest.approx((await judged.status()).evidence[0].log_e)
        (judged.folder / "web.yaml").unlink()
        await judged.judge.look()
        assert judged.registry.get_sample_value("monitor_canary_status", {**known, "phase": "Inconclusive"}) is None
        assert judged.registry.get_sample_value("monitor_canary_resources") == 0
    ended = {**known, "decision": "would-rollback"}
    assert judged.registry.get_sample_value("monitor_canary_decisions_total", ended) == 1
    assert judged.registry.get_sample_value("monitor_canary_resources") is None


async def test_analyses_that_are_too_old_are_deleted_at_the_start(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), directory="monitor")
    long_ago = START - 2 * KEPT_NS
    assert Journal.of_analysis(store, "shop/web/2@1", long_ago).write((Seen(long_ago),), None)
    assert list(store.folders(PREFIX))
    settings = CanarySettings(MONITOR_CANARIES=tmp_path / "canaries")  # type: ignore[call-arg]
    stopping, board = asyncio.Event(), Board(store)
    stopping.set()
    await judge_folder(settings, Told(GOOD), store, stopping, registry=CollectorRegistry(), board=board)
    assert not list(store.folders(PREFIX))
