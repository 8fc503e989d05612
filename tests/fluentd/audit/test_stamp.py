"""A stamped line is read back as it was written, and as nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from fluentd.audit.stamp import Stamp, beginning, format_stamp, make_run, parse_stamp

RUN = "0123456789abcdef"
stamps = st.builds(Stamp, st.just(RUN), st.integers(0, 10**17), st.integers(0, 2**63 - 1))


@given(stamps, st.integers(100, 2000))
def test_a_stamp_is_read_back_from_a_line_of_the_length_asked_for(stamp: Stamp, line_bytes: int) -> None:
    line = format_stamp(stamp, line_bytes=line_bytes)
    assert len(line) == line_bytes
    assert line.startswith(beginning(RUN))
    assert parse_stamp(line) == stamp


@given(stamps, st.data())
def test_a_line_cut_or_changed_anywhere_is_none(stamp: Stamp, data: st.DataObject) -> None:
    line = format_stamp(stamp, line_bytes=120)
    place = data.draw(st.integers(0, len(line) - 1))
    letter = data.draw(st.sampled_from("0aZ \u0660"))
    if line[place] != letter:
        assert parse_stamp(line[:place] + letter + line[place + 1 :]) is None
    assert parse_stamp(line[:place]) is None


@given(st.text(max_size=300))
def test_other_lines_are_none(line: str) -> None:
    assert parse_stamp(line) is None


def test_two_runs_have_two_names() -> None:
    assert make_run() != make_run()
