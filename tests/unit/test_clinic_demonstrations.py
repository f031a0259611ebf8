"""Demonstrations of the clinic: right form, and a share of wrong conclusions that is one fixed set."""

import re

import pytest

from medrl.data.clinic import generate_demonstrations, generate_problems, load_world
from medrl.data.clinic.problems import TOPICS
from medrl.data.demonstrations import o1_text
from medrl.errors import DataError
from medrl.types import Problem, ask


def test_a_right_demonstration_ends_with_the_reference() -> None:
    problems = generate_problems(split="train", count=1000, kinds=tuple(TOPICS))
    for problem, made in zip(problems, generate_demonstrations(problems), strict=True):
        assert made.correct
        assert made.problem_id == problem.id
        assert made.messages[-1]["content"] == o1_text(made.reasoning, made.answer)
        yes_no = problem.metadata["answer_type"] == "yes_no"
        assert made.answer == (problem.options[str(problem.reference)] if yes_no else problem.reference)


def test_the_chain_reasons_from_findings_that_were_shown() -> None:
    world = load_world()
    problems = generate_problems(split="train", count=500, languages=("en",))
    lengths = []
    for problem, made in zip(problems, generate_demonstrations(problems), strict=True):
        named = {key for key in problem.metadata["findings"] if world.findings[key].name.en in made.reasoning}
        assert len(named) >= 2
        assert made.reasoning.rstrip(".").endswith(f"{problem.reference} best")
        lengths.append(len(made.reasoning.split()))
    assert 12 <= sum(lengths) / len(lengths) <= 25


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_complex_chain_is_true_to_the_tables_and_keeps_what_it_concludes(language: str) -> None:
    world = load_world()
    problems = generate_problems(
        split="train", count=400, kinds=("term",), languages=(language,), topics=("diagnosis",)
    )
    right = generate_demonstrations(problems, chain="complex")
    second_tries = 0
    for problem, made in zip(problems, right, strict=True):
        findings = {world.findings[key].name.of(language): key for key in problem.metadata["findings"]}
        by_name = {disease.name.of(language): disease for disease in world.diseases.values()}
        if language == "en":
            said = r"Is it ([^?]+)\? It (?:explains (.*?))?(?:(?:, but|does) not (?:explain )?(.*?))?\.(?= [A-Z])"
            ideas = re.findall(said, made.reasoning)
            assert made.reasoning.endswith(f"So it is {problem.reference}.")
        else:
            ideas = re.findall(
                r"[先再]考虑([^。]+)。(?:\1可解释([^。，]+))?，?(?:但不能解释([^。]+))?。", made.reasoning
            )
            assert made.reasoning.endswith(f"因此是{problem.reference}。")
        second_tries += len(ideas) == 2
        for name, explained, not_explained in ideas:
            for text, listed in ((explained, True), (not_explained, False)):
                named = [key for finding, key in findings.items() if finding in text]
                assert bool(named) == bool(text)
                # a finding's name may be part of a longer one's, so the listed ones are counted, not excluded
                rows = [key in by_name[name].findings for key in named]
                assert all(rows) if listed and text else not text or not all(rows)
        assert ideas[-1][0] == problem.reference
    assert 0.4 < second_tries / len(problems) < 0.8
    simple = generate_demonstrations(problems)
    assert sum(len(d.reasoning) for d in right) > 1.3 * sum(len(d.reasoning) for d in simple)
    wrong = generate_demonstrations(problems, chain="complex", wrong_share=1.0)
    assert all(d.answer in d.reasoning and d.answer != p.reference for d, p in zip(wrong, problems, strict=True))


def test_a_demonstration_may_be_the_response_alone() -> None:
    problems = generate_problems(split="train", count=50, kinds=("term",))
    for made, reasoned in zip(
        generate_demonstrations(problems, chain="none"), generate_demonstrations(problems), strict=True
    ):
        assert (made.reasoning, made.messages[-1]["content"]) == ("", reasoned.answer)
    with pytest.raises(DataError, match="simple, complex, none"):
        generate_demonstrations(problems, chain="long")


@pytest.mark.parametrize("kind", list(TOPICS))
def test_a_wrong_demonstration_is_wrong_in_chain_and_answer_alike(kind: str) -> None:
    problems = generate_problems(split="train", count=400, kinds=(kind,))
    for problem, made in zip(problems, generate_demonstrations(problems, wrong_share=1.0), strict=True):
        assert not made.correct
        right = problem.options[str(problem.reference)] if kind == "yes_no" else problem.reference
        assert made.answer != right
        assert made.answer not in problem.aliases
        if kind == "term":
            assert made.answer in made.reasoning.split(". ")[-1]
        if kind == "number":
            value, truth = made.answer.split(" ")[0], problem.metadata["value"]
            assert f"= {value}" in made.reasoning
            assert abs(float(value) - truth) > 2 * problem.metadata["tolerance"] * truth


def test_the_wrong_share_is_one_fixed_growing_set() -> None:
    problems = generate_problems(split="train", count=2000)

    def wrong(share: float, seed: int = 0) -> set[str]:
        return {d.id for d in generate_demonstrations(problems, wrong_share=share, seed=seed) if not d.correct}

    small, large = wrong(0.2), wrong(0.5)
    assert small < large
    assert 0.17 < len(small) / len(problems) < 0.23
    assert wrong(0.2, seed=1) != small
    assert (
        generate_demonstrations(problems[:5], wrong_share=0.5) == generate_demonstrations(problems, wrong_share=0.5)[:5]
    )


def test_a_share_out_of_range_and_a_strange_problem_are_refused() -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        generate_demonstrations([], wrong_share=1.5)
    with pytest.raises(DataError, match="not made from these clinic tables"):
        generate_demonstrations([Problem("p", ask("What?"), "this")])
