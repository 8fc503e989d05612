import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluentd.pods.podrules import NO_RULES, PodRules, RateLimit, Stream, Unit, parse_rules

DEIS = "logs.deis.io/"


def rules_of(**annotations: str) -> PodRules:
    named = {DEIS + name.replace("_", "-"): value for name, value in annotations.items()}
    rules, problems = parse_rules(labels={}, annotations=named)
    assert problems == []
    return rules


def problems_of(name: str, value: str) -> list[str]:
    rules, problems = parse_rules(labels={}, annotations={name: value})
    assert rules == NO_RULES
    return problems


def test_a_pod_without_annotations_of_ours_has_no_rules() -> None:
    assert parse_rules(labels={"app": "shop"}, annotations={"kubectl.kubernetes.io/restartedAt": "now"}) == (
        NO_RULES,
        [],
    )


def test_all_of_our_annotations_are_read() -> None:
    assert rules_of(
        exclude="false", exclude_containers="proxy, init", rate_limit="10 lines/s", redact="default,cards", spread="4"
    ) == PodRules(
        exclude_containers=frozenset({"proxy", "init"}),
        rate_limit=RateLimit(Unit.LINES, 10, 10),
        redact=("default", "cards"),
        spread=4,
    )


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("1000 lines/s", RateLimit(Unit.LINES, 1000, 1000)),
        ("1 line/s", RateLimit(Unit.LINES, 1, 1)),
        ("  64   KiB/s  burst 1MiB ", RateLimit(Unit.BYTES, 65_536, 1_048_576)),
        ("2MB/s", RateLimit(Unit.BYTES, 2_000_000, 2_000_000)),
        ("500 bytes/s burst 2 kB", RateLimit(Unit.BYTES, 500, 2000)),
        ("100 lines/s burst 500", RateLimit(Unit.LINES, 100, 500)),
        ("100 lines/s burst 500 lines", RateLimit(Unit.LINES, 100, 500)),
    ],
)
def test_rates_are_written_as_people_write_them(value: str, rate: RateLimit) -> None:
    assert rules_of(rate_limit=value).rate_limit == rate


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1000",
        "fast",
        "-1 lines/s",
        "0 lines/s",
        "10 lines/m",
        "1e9 lines/s",
        "10 lines/s burst 1 MiB",
        "10 B/s burst 0",
        "9999999999999 lines/s",
        "999999999999 MiB/s",
        "٣ lines/s",
        "10 lines/s burst",
    ],
)
def test_what_is_no_rate_is_left_out_and_named(value: str) -> None:
    (problem,) = problems_of(DEIS + "rate-limit", value)
    assert problem.startswith("logs.deis.io/rate-limit: ")


def test_a_pattern_may_contain_commas_and_stands_on_a_line_of_its_own() -> None:
    assert rules_of(redact="default\n/user=\\w{1,8}/\ncards, keys").redact == (
        "default",
        "/user=\\w{1,8}/",
        "cards",
        "keys",
    )


@pytest.mark.parametrize(
    "value", ["//", "/unended", "/" + "x" * 600 + "/", "Default", "a b", ",".join(f"p{n}" for n in range(17))]
)
def test_what_is_no_pack_and_no_pattern_is_left_out_and_named(value: str) -> None:
    assert len(problems_of(DEIS + "redact", value)) == 1


@pytest.mark.parametrize("value", ["0", "65", "-1", "many", "", "1.5", "٣", "9" * 5000])
def test_what_is_no_spread_is_left_out_and_named(value: str) -> None:
    assert len(problems_of(DEIS + "spread", value)) == 1


@pytest.mark.parametrize("name", ["exclude", "exclude-containers", "rate-limits", ""])
def test_one_bad_annotation_leaves_the_others_as_they_are(name: str) -> None:
    bad = {DEIS + name: "A bad value"}
    rules, problems = parse_rules(labels={}, annotations={**bad, DEIS + "spread": "3"})
    assert rules == PodRules(spread=3)
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("fluentbit.io/exclude", PodRules(exclude=True)),
        ("fluentbit.io/exclude-proxy", PodRules(exclude_containers=frozenset({"proxy"}))),
        ("fluentbit.io/exclude_stderr", PodRules(exclude_streams=frozenset({Stream("", "stderr")}))),
        ("fluentbit.io/exclude_stdout-web", PodRules(exclude_streams=frozenset({Stream("web", "stdout")}))),
    ],
)
def test_annotations_of_fluent_bit_are_honoured(annotation: str, expected: PodRules) -> None:
    assert parse_rules(labels={}, annotations={annotation: "true"}) == (expected, [])
    assert parse_rules(labels={}, annotations={annotation: "false"}) == (NO_RULES, [])


@pytest.mark.parametrize("name", ["fluentbit.io/exclude_stdin", "fluentbit.io/excluded", "fluentbit.io/exclude-A_b"])
def test_what_looks_like_an_annotation_of_fluent_bit_is_named(name: str) -> None:
    assert len(problems_of(name, "true")) == 1


def test_label_and_annotation_of_vector_are_honoured() -> None:
    assert parse_rules(labels={"vector.dev/exclude": "true"}, annotations={}) == (PodRules(exclude=True), [])
    found = parse_rules(labels={}, annotations={"vector.dev/exclude-containers": "a,b"})
    assert found == (PodRules(exclude_containers=frozenset({"a", "b"})), [])


def test_the_parser_of_fluent_bit_is_none_of_ours() -> None:
    assert parse_rules(labels={}, annotations={"fluentbit.io/parser": "apache"}) == (NO_RULES, [])


def test_a_container_both_of_whose_streams_are_dropped_is_not_read() -> None:
    rules = PodRules(exclude_streams=frozenset({Stream("", "stderr"), Stream("web", "stdout")}))
    assert rules.excludes("web")
    assert not rules.excludes("worker")
    assert rules.excluded_streams("worker") == {"stderr"}


@given(
    labels=st.dictionaries(st.sampled_from(["vector.dev/exclude", "app"]), st.text(max_size=20)),
    annotations=st.dictionaries(
        st.builds(
            lambda a, b: a + b,
            st.sampled_from([DEIS, "fluentbit.io/exclude", "vector.dev/exclude"]),
            st.text(max_size=12),
        )
        | st.sampled_from(
            [DEIS + name for name in ("exclude", "exclude-containers", "rate-limit", "redact", "spread")]
        ),
        st.text(max_size=40),
        max_size=5,
    ),
)
def test_no_annotation_whatever_it_says_breaks_anything(labels: dict[str, str], annotations: dict[str, str]) -> None:
    rules, problems = parse_rules(labels=labels, annotations=annotations)
    assert len(problems) <= len(labels) + len(annotations)
    assert 1 <= rules.spread <= 64
    assert all(len(entry) <= 512 for entry in rules.redact)
