"""Secrets in the Deis controller's log, which is cut where the app changes: hidden wherever chunks begin and end."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fluentd.pods.podrules import NO_RULES, PodRules
from fluentd.rules.book import RuleBook
from fluentd.rules.lines import unpack_offsets
from pipeline.chunk import Chunk
from pipeline.cri import STDERR, STDOUT, STREAMS

KEY = b"AKIAIOSFODNN7EXAMPLE"
HIDDEN = b"[redacted:aws-access-key-id]"
BODY = b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"


class Recorder:
    """What a logger has of the chunks: lines by file and offset, each as it came first."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []

    def accept(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    def lines(self) -> dict[tuple[int, int], tuple[str, bytes]]:
        """App and bytes; what came twice came alike."""
        found: dict[tuple[int, int], tuple[str, bytes]] = {}
        for chunk in self.chunks:
            lines = chunk.data.splitlines(keepends=True)
            starts = list(itertools.accumulate(map(len, lines), initial=0))[:-1]
            offsets = unpack_offsets(chunk.line_offsets) if chunk.line_offsets else starts
            assert chunk.line_offsets or chunk.end - chunk.start == len(chunk.data)
            for offset, line in zip(offsets, lines, strict=True):
                assert chunk.start + offset < chunk.end
                key = (chunk.ordinal, chunk.start + offset)
                assert found.setdefault(key, (chunk.origin.app, line)) == (chunk.origin.app, line)
        return found


class Platform:
    """A controller whose log a test writes, under a file of rules."""

    def __init__(self, make_steps: type[Any], make_container: type[Any], root: Path, said: object) -> None:
        path = root / "rules.json"
        path.write_text(json.dumps(said))
        self.registry = CollectorRegistry()
        self.said = NO_RULES
        book = RuleBook(path, pod_rules=lambda _: self.said, registry=self.registry)
        self.steps = make_steps(root / "pods", rules=book)
        self.steps.logger = self.logger = Recorder()
        self.files = make_container(root / "pods")
        self.files.folder = root / "pods" / "deis_deis-controller-5d6f-x7k2p_uid-1" / "deis-controller"
        self.files.folder.mkdir(parents=True)
        self.files.live = self.files.folder / "0.log"
        self.docker = False
        self._count = 0

    def write(self, content: bytes, *, stream: int = STDERR, partial: bool = False) -> None:
        self._count += 1
        time = f"2026-11-24T12:00:00.{self._count:09}Z"
        if self.docker:
            log = content.decode() + "\n" * (not partial)
            line = json.dumps({"log": log, "stream": STREAMS[stream], "time": time}).encode() + b"\n"
        else:
            line = b"%s %s %s %s\n" % (time.encode(), STREAMS[stream].encode(), b"P" if partial else b"F", content)
        self.files.append(line)

    def finish(self) -> None:
        self.steps.acknowledge()
        for _ in range(3):
            self.steps.settle()
            self.steps.now += 3.0
        self.steps.settle()
        self.steps.tree.close()

    def messages(self) -> list[tuple[str, bytes]]:
        """App and content of whole lines, by their first piece; in order of their last."""
        found: list[tuple[str, bytes]] = []
        joined = {b"stdout": b"", b"stderr": b""}
        lines = self.logger.lines()
        for key in sorted(lines):
            app, line = lines[key]
            _, stream, tag, content = line.removesuffix(b"\n").split(b" ", 3)
            joined[stream] += content
            if tag == b"F":
                found.append((app, joined[stream]))
                joined[stream] = b""
        return found


@pytest.fixture
def platform(make_steps: type[Any], make_container: type[Any], tmp_path: Path) -> Callable[..., Platform]:
    return lambda said: Platform(make_steps, make_container, tmp_path, said)


DEFAULT = {"redact": [{"packs": ["default"]}]}


def test_a_secret_that_the_controller_tells_is_hidden_in_the_apps_log_and_in_the_platforms(platform: Any) -> None:
    one = platform(DEFAULT)
    for content in (b"INFO [shop]: set " + KEY, b"and " + KEY, b"INFO [blog]: scaled", b"INFO waiting " + KEY):
        one.write(content)
    one.finish()
    assert one.messages() == [
        ("shop", b"INFO [shop]: set " + HIDDEN),
        ("shop", b"and " + HIDDEN),
        ("blog", b"INFO [blog]: scaled"),
        ("deis", b"INFO waiting " + HIDDEN),
    ]
    assert one.registry.get_sample_value("fluentd_redactions_total", {"kind": "aws-access-key-id"}) == 3


def test_what_is_hidden_for_one_app_is_hidden_in_all_that_the_controller_says(platform: Any) -> None:
    one = platform({"redact": [{"patterns": {"employee": "E[0-9]{6}"}, "apps": ["shop"]}], "drop": [{}]})
    one.write(b"INFO [blog]: E123456")
    one.said = PodRules(redact=("/secret/",))
    one.write(b"INFO [blog]: secret")
    one.finish()
    assert one.messages() == [
        ("blog", b"INFO [blog]: [redacted:employee]"),
        ("blog", b"INFO [blog]: [redacted:custom]"),
    ]


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([STDOUT, STDERR]), st.sampled_from(["shop", "blog", ""]), st.integers(0, 6)),
        max_size=8,
    ),
    docker=st.booleans(),
    draw=st.data(),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_secret_in_pieces_between_other_apps_lines_is_hidden_through_crashes_and_rotations(
    make_steps: type[Any],
    make_container: type[Any],
    messages: list[tuple[int, str, int]],
    docker: bool,
    draw: st.DataObject,
) -> None:
    """Both streams speak at once; a key lies across two pieces, or a private key over several lines."""
    with TemporaryDirectory() as folder:
        one = Platform(make_steps, make_container, Path(folder), DEFAULT)
        one.docker = docker
        waiting: dict[int, list[tuple[bytes, bool]]] = {STDOUT: [], STDERR: []}
        expected = []
        for stream, app, cut in messages:
            header = b"INFO [%s]: " % app.encode() if app else b"INFO waiting "
            if cut == 0:
                lines = [header + b"-----BEGIN PRIVATE KEY-----", BODY, BODY[:20], b"-----END PRIVATE KEY-----"]
                waiting[stream] += [(line, False) for line in lines]
            else:
                at = len(header) + 3 * cut
                whole = header + KEY + b" rest"
                waiting[stream] += [(whole[:at], True), (b"", True), (whole[at:], False)]
                expected.append(header + HIDDEN + b" rest")
        while any(waiting.values()):
            stream = draw.draw(st.sampled_from([stream for stream, lines in waiting.items() if lines]))
            content, partial = waiting[stream].pop(0)
            one.write(content, stream=stream, partial=partial)
            match draw.draw(st.sampled_from(["", "", "read", "crash"])):
                case "read":
                    one.steps.scan()
                    one.steps.read(draw.draw(st.integers(1, 3)))
                    one.steps.acknowledge(draw.draw(st.integers(0, len(one.steps.inflight))))
                    one.steps.save()
                case "crash":
                    one.steps.deliver_unacknowledged(draw.draw(st.integers(0, len(one.steps.inflight))))
                    one.steps.crash()
        one.finish()
        sent = [content for _, content in one.messages()]
        assert sorted(one for one in sent if one.startswith(b"INFO") and HIDDEN in one) == sorted(expected)
        everything = b"\n".join(sent)
        assert KEY not in everything
        assert BODY not in everything
        assert BODY[:20] not in everything


def test_marks_that_make_more_than_a_chunk_of_lines_lose_none_of_them(platform: Any) -> None:
    one = platform({"redact": [{"patterns": {"x": "x"}}]})
    for number in range(40):
        one.write(b"INFO [%s]: %d " % (b"shop" if number % 20 else b"blog", number) + b"x" * 3000)
    one.finish()
    mark = b"[redacted:x]"
    assert one.messages() == [
        (app, b"INFO [%s]: %d " % (app.encode(), number) + mark * 3000)
        for number in range(40)
        for app in ["shop" if number % 20 else "blog"]
    ]
