"""A corpus is the same for the same seed, and its lines are what they claim to be."""

import itertools
import json
import random
from pathlib import Path

from demo.corpus import MAKERS, START_NS, json_lines, make_pods, router_lines, stored_lines, write_corpus
from pipeline.cri import parse_header

SECOND = "2026-11-24T12:00:00"


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.log"))}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_corpus(tmp_path / name, total_bytes=200_000, seed=7)
    write_corpus(tmp_path / "c", total_bytes=200_000, seed=8)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_a_corpus_has_the_size_asked_for_in_twenty_apps_and_sixty_pods(tmp_path: Path) -> None:
    size = write_corpus(tmp_path, total_bytes=1_000_000, seed=1)
    files = contents(tmp_path)
    assert size == sum(map(len, files.values()))
    assert 1_000_000 <= size < 1_100_000
    assert len(files) == 60
    assert len({name.split("_")[0] for name in files}) == 20


def test_stored_lines_parse_and_their_times_ascend() -> None:
    for pod in make_pods(seed=3, apps=len(MAKERS), pods_per_app=1):
        headers = []
        for line in itertools.islice(stored_lines(random.Random(1), pod), 500):
            header = parse_header(line)
            assert header is not None
            assert line.count(b"\n") == 1
            headers.append(header)
        times = [header.time_ns for header in headers]
        assert times == sorted(times)
        assert times[0] >= START_NS


def test_trailing_zeros_of_times_are_dropped() -> None:
    pod = make_pods(seed=3, apps=1, pods_per_app=1)[0]
    fractions = [
        line.split(b"Z", 1)[0].partition(b".")[2]
        for line in itertools.islice(stored_lines(random.Random(1), pod), 2000)
    ]
    assert not [fraction for fraction in fractions if fraction.endswith(b"0")]
    assert {len(fraction) for fraction in fractions} >= {7, 8, 9}


def test_router_lines_have_the_fields_of_the_routers_format() -> None:
    (line,) = router_lines(random.Random(1), "shop", SECOND)
    fields = line.split(" - ")
    assert len(fields) == 14
    assert fields[1] == "shop"
    assert fields[4].isdecimal()
    assert float(fields[12]) < float(fields[13])


def test_json_lines_are_json() -> None:
    (line,) = json_lines(random.Random(1), "api", SECOND)
    assert json.loads(line)["app"] == "api"
