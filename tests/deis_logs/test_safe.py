"""Nothing that a line contains acts on a terminal."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deis_logs.highlight import highlighter
from deis_logs.lines import Line
from deis_logs.render import make_renderer
from deis_logs.safe import visible, visible_json

DANGEROUS = st.sampled_from(
    [
        *("\x1b[31m", "\x1b]0;title\x07", "\x1bP", "\x9b2J", "\r", "\n", "\x00", "\x7f", "\x85", "\u202e", "\u2066"),
        *("\u2028", "\u061c", "\ud800", "\t", "é", "日本", "👩‍💻", "\ufffd", "plain"),
    ]
)
CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
EMBEDDINGS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = {"\u200e", "\u200f", "\u061c"}
TEXTS = st.one_of(st.text(), st.lists(DANGEROUS, max_size=12).map("".join))


def acts(text: str) -> bool:
    """Whether a character of `text` could act on a terminal or turn what is read; by Unicode's own tables."""
    return any(
        (unicodedata.category(character) in CONTROLS and character != "\t")
        or unicodedata.bidirectional(character) in EMBEDDINGS
        or character in MARKS
        for character in text
    )


def line_of(message: str, **changes: str) -> Line:
    names = ("time", "process", "release", "pod", "container", "node", "stream", "source")
    texts = {name: changes.get(name, "x") for name in names}
    return Line(app="demo", message=message, ordinal=0, offset=0, continuation=0, **texts)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_visible_text_never_acts(text: str) -> None:
    assert not acts(visible(text))


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"], include_characters="\t")))
def test_printable_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("50%\r100%", "50%\\r100%"),
        ("\x9b", "\\x9b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\tb", "a\tb"),
        ("👩‍💻", "👩‍💻"),
        ("\u2028", "\\u2028"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_visible_json_never_acts_and_is_the_same_value(value: dict[str, str]) -> None:
    if "\ud800" in "".join([*value, *value.values()]):
        return  # cannot be sent
    encoded = json.dumps(value, ensure_ascii=False).encode()
    shown = visible_json(encoded + b"\n")
    assert json.loads(shown) == value
    assert not acts(shown.decode().replace("\n", ""))


@settings(max_examples=60, deadline=None)
@given(message=TEXTS, pod=TEXTS, time=TEXTS, process=TEXTS)
@pytest.mark.parametrize("output", ["text", "csv"])
def test_no_field_of_a_line_acts_in_what_is_printed(
    output: str, message: str, pod: str, time: str, process: str
) -> None:
    renderer = make_renderer(output)
    printed = renderer.render([line_of(message, pod=pod, time=time, process=process)]) + renderer.close()
    ending = "\r\n" if output == "csv" else "\n"
    assert printed.decode().endswith(ending)
    assert not acts(printed.decode().removesuffix(ending))


@settings(max_examples=60, deadline=None)
@given(message=TEXTS, needle=st.text(min_size=1, max_size=3))
def test_highlighting_adds_only_its_own_colours(message: str, needle: str) -> None:
    for show in (highlighter(text=needle, regex=""), highlighter(text="", regex="[a-z]+|.")):
        assert show is not None
        if "\ud800" in message:
            continue  # RE2 takes none
        plain = show(message).replace("\x1b[1;31m", "").replace("\x1b[0m", "")
        assert plain == visible(message)


def test_matches_are_marked() -> None:
    marked = "a \x1b[1;31mneedle\x1b[0m b \x1b[1;31mneedle\x1b[0m"
    for show in (highlighter(text="needle", regex=""), highlighter(text="", regex="need..")):
        assert show is not None
        assert show("a needle b needle") == marked


def test_without_a_search_and_with_a_broken_expression_nothing_is_marked() -> None:
    assert highlighter(text="", regex="") is None
    assert highlighter(text="", regex="(") is None
