"""What there is of an app: what changes between its questions makes an error, and no part of an answer."""

from collections.abc import Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from monitor.answers.overview import PATH, overview_route
from monitor.metric import Kind, Metric
from monitor.reading import SLOT_NS, Amount, Answer, IncompleteError, Known, Question
from pipeline.auth import EVERYTHING, GRANT

NOW = 1_790_000_000 * 1_000_000_000 // SLOT_NS * SLOT_NS
LINES = Metric("app_lines", Kind.COUNTER, "Lines.")


class Moving:
    """Answers whose watermark is another one than a moment before; without one, the metric is gone by then."""

    def __init__(self, later_ns: int | None) -> None:
        self._later_ns = later_ns

    async def watermark_ns(self) -> int:
        return NOW

    async def known(self, *, namespace: str | None = None, app: str | None = None) -> list[Known]:
        return [Known(LINES, 1, NOW)]

    async def ask(self, question: Question) -> Answer:
        return (await self.ask_many([question]))[0]

    async def ask_many(self, questions: Sequence[Question]) -> list[Answer]:
        if self._later_ns is None:
            raise KeyError(questions[0].metric)
        return [Answer(LINES, self._later_ns, {("", ""): Amount(60, 60.0)}) for _ in questions]


async def overview(later_ns: int | None) -> web.StreamResponse:
    route = overview_route(Moving(later_ns), now_ns=lambda: NOW)
    assert route.path == PATH
    request = make_mocked_request("GET", "/v1/metrics/shop?points=1", match_info={"app": "shop"})
    request[GRANT] = EVERYTHING
    answer = await route.handler(request)
    assert isinstance(answer, web.StreamResponse)
    return answer


async def test_a_window_that_is_complete_is_answered() -> None:
    assert (await overview(NOW)).status == 200


@pytest.mark.parametrize(("later_ns", "reason"), [(NOW - 1, "changed hands"), (None, "no metric")])
async def test_what_is_not_complete_or_not_there_any_more_is_an_error(later_ns: int | None, reason: str) -> None:
    with pytest.raises(IncompleteError, match=reason):
        await overview(later_ns)
