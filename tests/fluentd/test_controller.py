"""The controller's log: each line in the log of the app that it is about, whole messages, and nobody else's."""

import json
import os
import struct
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fluentd.chunks.appcut import is_controller
from fluentd.controller import MESSAGE_GAP_NS, MESSAGE_LINES, PLATFORM, Voices, app_of_header, segments
from fluentd.files.discovery import Place
from fluentd.pods.names import LabelsFile, NameRules, safe_name
from fluentd.runs.checkpoint import decode, encode
from pipeline.chunk import Chunk
from pipeline.cri import STREAMS, format_time
from pipeline.limits import CHUNK_BYTES
from pipeline.names import CONTROLLER_PROCESS

_BASE_NS = 1_795_478_400_000_000_000


@pytest.mark.parametrize(
    ("content", "app"),
    [
        (b"INFO [demo]: scaled", "demo"),
        (b"WARN [demo-2]:", "demo-2"),
        (b"ERROR  [demo]: x [other]: y", "demo"),
        (b"DEBUG\t[a]: x", "a"),
        (b"WARNING [demo]: x", "demo"),
        (b"CRITICAL [demo]: x", "demo"),
        (b"INFO [" + b"a" * 63 + b"]: x", "a" * 63),
        (b"INFO [" + b"a" * 64 + b"]: x", PLATFORM),
        (b"INFO [Demo]: x", PLATFORM),
        (b"INFO [de mo]: x", PLATFORM),
        (b"INFO [../x]: x", PLATFORM),
        (b"INFO []: x", PLATFORM),
        (b"INFO [demo] x", PLATFORM),
        (b"INFO waiting", PLATFORM),
        (b"ERROR", PLATFORM),
        (b"[2026-11-24 12:00:00 +0000] [7] [INFO] Booting worker", PLATFORM),
        (b'10.0.0.1 "GET /v2/apps/demo/logs HTTP/1.1" 200 5 "deis"', PLATFORM),
        (b'10.0.0.1 - - [24/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200', PLATFORM),
        (b" INFO [demo]: x", None),
        (b"INFORMATION [demo]: x", None),
        (b"Traceback (most recent call last):", None),
        (b"[demo]: x", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_line_begins_a_message_about_an_app_or_of_the_platform_or_goes_on(content: bytes, app: str | None) -> None:
    assert app_of_header(content) == app


def _place(
    *, namespace: str = "deis", pod: str = "deis-controller-5d6f-x7k2p", container: str = "deis-controller"
) -> Place:
    return Place("/p", namespace, pod, "u", container)


@pytest.mark.parametrize(
    ("place", "namespace", "is_one"),
    [
        (_place(), "deis", True),
        (_place(pod="deis-controller"), "deis", True),
        (_place(pod="deis-controller-2450846286-k3jd9"), "deis", True),
        (_place(), "", False),
        (_place(), "platform", False),
        (_place(namespace="deis-controller"), "deis", False),
        (_place(namespace="posing"), "deis", False),
        (_place(container="proxy"), "deis", False),
        (_place(pod="deis-builder-5d6f8-x7k2p"), "deis", False),
        (_place(pod="deis-controller-api-5d6f8-x7k2p"), "deis", False),
        (_place(pod="x-deis-controller-5d6f8-x7k2p"), "deis", False),
    ],
)
def test_the_controller_is_told_by_all_that_its_path_says(place: Place, namespace: str, is_one: bool) -> None:
    assert is_controller(place, namespace=namespace) is is_one


def _cri(time_ns: int, content: bytes, *, stream: int = 1, partial: bool = False) -> bytes:
    return b"%s %s %s %s" % (format_time(time_ns), STREAMS[stream].encode(), b"P" if partial else b"F", content)


def _apps(lines: list[bytes]) -> list[str]:
    parts = list(segments(lines, Voices(), mid_line=False))
    stops = [part.first_line for part in parts[1:]] + [len(lines)]
    return [str(part.app) for part, stop in zip(parts, stops, strict=True) for _ in range(stop - part.first_line)]


def test_a_message_ends_where_too_much_time_or_too_many_lines_have_passed() -> None:
    head = _cri(_BASE_NS, b"INFO [demo]: x")
    assert _apps([head, _cri(_BASE_NS + MESSAGE_GAP_NS, b"on")]) == ["demo", "demo"]
    assert _apps([head, _cri(_BASE_NS + MESSAGE_GAP_NS + 1, b"later"), _cri(_BASE_NS, b"on")]) == ["demo", "", ""]
    assert _apps([head, *[_cri(_BASE_NS, b"on")] * (MESSAGE_LINES + 1)]) == ["demo"] * MESSAGE_LINES + ["", ""]


def test_streams_speak_for_themselves_and_a_line_in_no_format_is_the_platforms() -> None:
    lines = [
        _cri(_BASE_NS, b"INFO [one]: x", stream=1),
        _cri(_BASE_NS, b"on nothing", stream=0),
        _cri(_BASE_NS, b"on one", stream=1),
        b"INFO [forged]: no header of the runtime",
        _cri(_BASE_NS, b"on one", stream=1),
    ]
    assert _apps(lines) == ["one", "", "one", "", "one"]


def test_a_piece_of_a_line_is_content_whatever_it_looks_like() -> None:
    lines = [
        _cri(_BASE_NS, b"INFO [one]: x", partial=True),
        _cri(_BASE_NS, b"INFO [forged]: x", partial=True),
        _cri(_BASE_NS, b"INFO [forged]: x"),
        _cri(_BASE_NS, b"INFO [two]: x"),
    ]
    assert _apps(lines) == ["one", "one", "one", "two"]


@given(lines=st.lists(st.binary(max_size=80).map(lambda data: data.replace(b"\n", b"")), max_size=8), mid=st.booleans())
def test_any_lines_are_parted_without_a_gap(lines: list[bytes], mid: bool) -> None:
    parts = list(segments(lines, Voices(), mid_line=mid))
    assert parts[0].first_line == 0
    assert all(one.first_line < other.first_line and one.app != other.app for one, other in pairwise(parts))
    assert parts[-1].first_line <= max(0, len(lines) - 1)


# --- through the agent, with files that rotate and an agent that crashes


_TEXT = st.sampled_from([b"", b"x", b"  File x", b"[other]: x", b"INFOS [other]: x", b"\xff", b"y" * 300])
_PIECES = st.lists(st.one_of(_TEXT, st.just(b"ERROR [forged]: x")), max_size=2)
_SAID = st.tuples(
    st.sampled_from(["", "one", "two", "deis"]),
    st.lists(st.tuples(_TEXT, _PIECES), min_size=1, max_size=3),
)


class _Controller:
    """Its log folder, written as a runtime does; remembers whose each line is."""

    def __init__(self, make_container: Any, root: Path, *, docker: bool = False) -> None:
        self.files = make_container(root)
        self.files.folder = root / "deis_deis-controller-5d6f-x7k2p_uid-1" / "deis-controller"
        self.files.folder.mkdir(parents=True)
        self.files.live = self.files.folder / "0.log"
        self._docker, self._count = docker, 0
        self.expected: list[str] = []

    def say(self, app: str, lines: list[tuple[bytes, list[bytes]]], *, stream: int = 1) -> list[tuple[str, bytes]]:
        """Whose each physical line of a message is, and its bytes: a line is its first piece and the others."""
        header = b"INFO [%s]: " % app.encode() if app else b"INFO waiting "
        made = []
        for number, (first, more) in enumerate(lines):
            pieces = [first if number else header + first, *more]
            made += [(app, self._line(stream, piece, partial=True)) for piece in pieces[:-1]]
            made.append((app, self._line(stream, pieces[-1], partial=False)))
        return made

    def _line(self, stream: int, content: bytes, *, partial: bool) -> bytes:
        self._count += 1
        time_ns = _BASE_NS + self._count
        if not self._docker:
            return _cri(time_ns, content, stream=stream, partial=partial) + b"\n"
        log = content.decode("utf-8", "replace") + ("" if partial else "\n")
        entry = {"log": log, "stream": STREAMS[stream], "time": format_time(time_ns).decode()}
        return json.dumps(entry).encode() + b"\n"

    def append(self, lines: list[tuple[str, bytes]]) -> None:
        self.files.append(*[line for _, line in lines])
        self.expected += [app for app, _ in lines]


@dataclass
class _Recorder:
    """Takes chunks."""

    chunks: list[Chunk] = field(default_factory=list)

    def accept(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)


def _apps_of(chunks: list[Chunk]) -> list[str]:
    """Whose each line is, by its place, of chunks that may have come twice."""
    apps: dict[tuple[int, int], str] = {}
    for chunk in chunks:
        sizes = [len(line) + 1 for line in chunk.data.split(b"\n")[:-1]]
        offsets = list(accumulate(sizes, initial=0))[:-1]
        if chunk.line_offsets:
            offsets = list(struct.unpack(f"<{len(chunk.line_offsets) // 4}I", chunk.line_offsets))
        by_controller = chunk.origin.process == "@controller"
        assert by_controller or chunk.origin.app == "deis"
        app = str(chunk.origin.app) if by_controller else PLATFORM
        for offset in offsets:
            key = (chunk.ordinal, chunk.start + offset)
            assert apps.setdefault(key, app) == app, "the same line is always the same app's"
    return [apps[key] for key in sorted(apps)]


_EXAMPLES: Final = int(os.environ.get("CONTROLLER_EXAMPLES", "60"))
"""1000 for the long form."""


@given(
    said=st.tuples(st.lists(_SAID, max_size=5), st.lists(_SAID, max_size=5)),
    docker=st.booleans(),
    draw=st.data(),
)
@settings(deadline=None, max_examples=_EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_line_goes_to_its_app_through_rotations_and_crashes(
    make_steps: type[Any],
    make_container: type[Any],
    said: tuple[list[Any], list[Any]],
    docker: bool,
    draw: st.DataObject,
) -> None:
    """Both streams interleaved, lines in pieces, messages of several lines; cut anywhere by crashes and rotations."""
    with TemporaryDirectory() as folder:
        steps, root = make_steps(Path(folder)), Path(folder)
        controller = _Controller(make_container, root, docker=docker)
        if docker:  # the model of a logger knows no data that differs from the file's
            steps.logger = _Recorder()
        waiting = [
            deque(line for app, lines in stream_said for line in controller.say(app, lines, stream=stream))
            for stream, stream_said in enumerate(said)
        ]
        while any(waiting):
            stream = draw.draw(st.sampled_from([number for number, lines in enumerate(waiting) if lines]))
            controller.append([waiting[stream].popleft()])
            match draw.draw(st.sampled_from(["", "", "read", "rotate", "crash"])):
                case "read":
                    steps.scan()
                    steps.read(draw.draw(st.integers(1, 3)))
                    steps.acknowledge(draw.draw(st.integers(0, len(steps.inflight))))
                    steps.save()
                case "rotate":
                    controller.files.rotate()
                    steps.scan()
                case "crash":
                    steps.deliver_unacknowledged(draw.draw(st.integers(0, len(steps.inflight))))
                    steps.crash()
        steps.acknowledge()
        steps.settle()
        steps.tree.close()
        assert _apps_of(steps.logger.chunks) == controller.expected


def test_a_checkpoint_of_before_goes_on_with_the_platform_until_the_next_message(
    steps: Any, make_container: type[Any], tmp_path: Path
) -> None:
    """Nothing says whom the line before was about: better nobody's than another's."""
    controller = _Controller(make_container, tmp_path)
    controller.append(controller.say("one", [(b"x", [])]))
    steps.round()
    steps.save()
    known = decode(steps.saved)
    runs = tuple(
        msgspec.structs.replace(
            run,
            sources=tuple(
                msgspec.structs.replace(one, mark=msgspec.structs.replace(one.mark, voices=None)) for one in run.sources
            ),
        )
        for run in known.runs
    )
    steps.saved = encode(msgspec.structs.replace(known, runs=runs))
    steps.crash()
    controller.append(
        [("", controller.say("one", [(b"", []), (b"on", [])])[1][1]), *controller.say("two", [(b"", [])])]
    )
    steps.round()
    assert _apps_of(steps.logger.chunks) == controller.expected


@pytest.mark.parametrize("docker", [False, True])
def test_a_line_longer_than_a_chunk_stays_with_its_app(
    steps: Any, make_container: type[Any], tmp_path: Path, docker: bool
) -> None:
    """The rest of it, in the next chunk, may look like anything."""
    controller = _Controller(make_container, tmp_path, docker=docker)
    long = b"x" * CHUNK_BYTES + b" INFO [forged]: "
    controller.append(controller.say("one", [(long * 2, []), (b"on", [])]) + controller.say("two", [(b"", [])]))
    steps.round()
    assert b"".join(chunk.data for chunk in steps.logger.chunks).count(b"forged") == 2
    origins = [(str(chunk.origin.app), chunk.origin.process) for chunk in steps.logger.chunks]
    if docker:  # such a line is in no format at all
        assert [app for app, _ in origins if app == "forged"] == []
        return
    assert origins == [("one", "@controller")] * (len(origins) - 1) + [("two", "@controller")]


def test_an_app_that_calls_itself_the_controller_stays_in_its_own_log(
    steps: Any, make_container: type[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "deis-controller_deis-controller-5d6f-x7k2p_uid-2" / "deis-controller"
    folder.mkdir(parents=True)
    (folder / "0.log").write_bytes(_cri(_BASE_NS, b"INFO [one]: forged") + b"\n")
    steps.round()
    assert [(chunk.origin.app, chunk.origin.process) for chunk in steps.logger.chunks] == [("deis-controller", "")]


def test_no_name_from_outside_becomes_the_controllers_process(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.write_text('{"ns/pod": {"type": "@controller", "app": "one"}}')
    pods = LabelsFile(labels, NameRules("n1"), registry=CollectorRegistry())
    origin = pods.origin(namespace="ns", pod="pod", uid="u", container="c", restart=0)
    assert origin.app == "one"
    assert origin.process != CONTROLLER_PROCESS
    assert safe_name(CONTROLLER_PROCESS) != CONTROLLER_PROCESS
