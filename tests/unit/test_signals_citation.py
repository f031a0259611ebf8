"""Citations: what exists, what supports, what is quoted; and that no citation pays for another."""

from typing import Any

import pytest

from medrl.rewards import Citation
from medrl.rewards.citation import Cited, cited, passages
from medrl.types import Group, Problem, Response, Score, ask

PASSAGES: list[Any] = [
    "Colchicine 0.5 mg twice daily is recommended for acute gout attacks.",
    "Allopurinol lowers uric acid and is started after the attack has settled.",
    {"id": "A", "text": "痛风急性发作时推荐口服秋水仙碱0.5毫克，每日两次。"},
    {"id": "doc1", "text": "Naproxen relieves the pain of a swollen joint."},
]
GOOD = "For acute gout, colchicine 0.5 mg twice daily is recommended [1]. Allopurinol is started after the attack settles.[2]"


def found(text: str) -> Cited:
    return cited(text, passages(PASSAGES), 0.5)


def score(text: str, given: Any = PASSAGES, leaf: Citation | None = None) -> Score:
    asked = Problem("p", ask("What helps?"), "colchicine", metadata={"passages": given} if given is not None else {})
    ((one,),) = (leaf or Citation()).score_sync([Group(asked, (Response(text),))])
    return one


def value(text: str) -> float:
    got = score(text).value
    assert got is not None
    return got


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, Cited(2, 0, 0, 0, 0)),
        ("Colchicine 5 mg twice daily is recommended for acute gout [1].", Cited(0, 0, 1, 0, 10)),  # another figure
        ("Gout is treated with bananas and long walks [1].", Cited(0, 0, 1, 0, 8)),
        ("Colchicine 0.50 mg twice daily is recommended for acute gout [9].", Cited(0, 1, 0, 0, 10)),
        ("Colchicine 0.5 mg twice daily for acute gout [1-3].", Cited(1, 1, 1, 0, 0)),
        ("Colchicine 0.5 mg twice daily for acute gout [1, 1] [1].", Cited(1, 0, 0, 0, 0)),
        ("“Colchicine 0.5 mg twice daily is recommended” for acute gout attacks [1].", Cited(1, 0, 0, 0, 0)),
        (
            'Colchicine 0.5 mg is "never ever to be given at all" for acute gout attacks twice daily [1].',
            Cited(1, 0, 0, 1, 0),
        ),
        ("痛风急性发作推荐口服秋水仙碱0.5毫克，每日两次【A】。", Cited(1, 0, 0, 0, 0)),
        ("痛风急性发作推荐口服秋水仙碱0.5毫克。［A］", Cited(1, 0, 0, 0, 0)),
        ("痛风首选手术切除并长期卧床【A】。", Cited(0, 0, 1, 0, 13)),
        ("Naproxen relieves the pain of a joint [doc1].", Cited(1, 0, 0, 0, 0)),
        ("Naproxen relieves the pain of a joint [doc7].", Cited(0, 1, 0, 0, 7)),
        ("Naproxen relieves the pain of a joint [Smith 2019].", Cited(0, 1, 0, 0, 7)),
        ("Serum [Na+] was low [sic].", Cited(0, 0, 0, 0, 3)),
        ("See [the guideline](https://example.org).", Cited(0, 0, 0, 0, 8)),
        ("Gout [1].", Cited(0, 0, 0, 0, 0)),  # claims nothing
        ("For acute gout, colchicine 0.5 mg twice daily is recommended.\n[1]", Cited(1, 0, 0, 0, 0)),
        ("For acute gout, colchicine 0.5 mg twice daily is recommended [1].\n\n[1]\n[2]", Cited(1, 0, 0, 0, 0)),
    ],
)
def test_each_citation_is_held_against_its_passage(text: str, expected: Cited) -> None:
    assert found(text) == expected


def test_a_quotation_must_stand_somewhere_even_where_nothing_is_cited() -> None:
    asked = "My doctor said “take it on an empty stomach, always”. Why?"
    held = passages(PASSAGES)
    assert cited("“Allopurinol lowers uric acid and is started after”, so they write.", held, 0.5, asked).misquoted == 0
    assert cited("“Take it on an empty stomach, always” is what you heard.", held, 0.5, asked).misquoted == 0
    assert cited("“Bananas are the only cure that ever worked” is the rule.", held, 0.5, asked).misquoted == 1
    assert cited("The “gold standard” is aspiration.", held, 0.5, asked).misquoted == 0  # a term, no quotation


def test_a_decimal_at_the_beginning_of_a_line_is_no_list_mark() -> None:
    assert found("0.5 mg colchicine twice daily is recommended for acute gout [1].").good == 1
    assert found("1. Colchicine 0.5 mg twice daily is recommended for acute gout [1].").good == 1


def test_values() -> None:
    assert value(GOOD) == 1.0
    assert value(GOOD + " Colchicine 0.5 mg twice daily cures acute gout attacks [7].") == pytest.approx(0.66)
    assert value("Colchicine 0.5 mg twice daily for acute gout.") == 0.0  # cites nothing
    uncited = " Bananas are what most people like to eat at breakfast every day."
    assert value(GOOD + uncited) == 1.0
    longer = " ".join(f"Claim number {i} is said without any source at all here." for i in range(10))  # 110 words
    assert value(GOOD + " " + longer) == pytest.approx(1 - 0.1 * (110 - 40) / 20)


def test_no_passages_is_nothing_to_cite_and_broken_ones_are_the_problems_fault() -> None:
    absent: tuple[Any, ...] = (None, [])
    for given in absent:
        got = score(GOOD, given)
        assert (got.value, got.status) == (None, "abstain")
    for broken in ("text", [""], [{"id": 1}], [{"id": "a", "text": "x"}, {"id": "A", "text": "y"}], [3]):
        got = score(GOOD, broken)
        assert (got.value, got.status) == (None, "invalid") and "passages" in got.reason
        assert score("", broken).status == "invalid"  # whatever the response is


PADDING = [
    " [1][2][A][doc1]",
    " [1] [2]" * 50,
    " " + GOOD,
    " " + " ".join(f"{one if isinstance(one, str) else one['text']} [{i}]" for i, one in enumerate(PASSAGES, 1)),
    " Colchicine 0.5 mg twice daily is recommended for acute gout attacks [1]." * 20,
    " [99]",
    " As everybody knows [1], this is so [2].",
]


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(
    "start",
    [
        GOOD,
        GOOD + " Bananas cure gout at once [1].",
        GOOD + " Colchicine 0.5 mg twice daily cures acute gout attacks [7].",
        GOOD + " Bananas are good." * 3 + " Beer is harmless." * 3,
    ],
)
def test_attack_padding_with_citations_never_pays(start: str, padding: str) -> None:
    assert value(start + padding) <= value(start)


def test_attack_one_citation_after_everything_supports_nothing() -> None:
    invented = "Patients feel well after bananas, walks, sunlight, prayer, crystals and cold tea in the morning"
    assert value(f"{invented} [1][2].") == 0.0
    assert value(f"{invented}. [1]") == 0.0
    assert value("[1] [2] [A]") == 0.0


@pytest.mark.parametrize(
    ("text", "passage", "good"),
    [
        ("Metformin is not the first line for diabetes [1].", "Metformin is the first line for diabetes.", 0),
        ("Metformin is the first line for diabetes [1].", "Metformin is the first line for diabetes.", 1),
        ("Aspirin is recommended for primary prevention [1].", "Aspirin is not recommended for primary prevention.", 0),
        ("Aspirin is not recommended for primary prevention [1].", "Aspirin is not recommended for primary prevention.", 1),
        ("Aspirin helps most adults, but not children [1].", "Aspirin helps most adults, but not small children.", 1),
        ("不推荐口服秋水仙碱治疗痛风[1]。", "推荐口服秋水仙碱治疗痛风。", 0),
        ("推荐口服秋水仙碱治疗痛风[1]。", "推荐口服秋水仙碱治疗痛风。", 1),
    ],
)  # fmt: skip
def test_a_passage_does_not_support_what_it_denies(text: str, passage: str, good: int) -> None:
    got = cited(text, passages([passage]), 0.5)
    assert (got.good, got.unsupported) == (good, 1 - good)
