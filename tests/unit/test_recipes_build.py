"""From sections to problems and demonstrations: controls, instructions, and no held-out problem that is trained on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medrl.data.demonstrations import Demonstration
from medrl.errors import DataError
from medrl.recipes import DemonstrationSource, ProblemSource, Recipe
from medrl.recipes.build import check_held_out, data_of, demonstrations_of, problems_of, shuffled_references
from medrl.types import Message, Problem, ask

CLINIC = ProblemSource(kinds=("term", "choice"), languages=("en",), diseases=20, count=40)
ASK = "Think first, then answer."


def recipe(problems: ProblemSource, held_out: ProblemSource) -> Recipe:
    from medrl.models.policy import PolicySpec

    return Recipe("x", {"type": "format"}, problems, policy=PolicySpec(path="some/model"), held_out=held_out)


def check(problems: ProblemSource, held_out: ProblemSource, shown: DemonstrationSource | None = None) -> None:
    demonstrations = demonstrations_of(shown, problems) if shown else []
    check_held_out(recipe(problems, held_out), problems_of(problems), problems_of(held_out), demonstrations)


def write(folder: Path, count: int = 6) -> ProblemSource:
    rows = [{"question": f"Question {n}?", "reference": f"answer {n}"} for n in range(count)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ProblemSource(source=str(path))


def test_the_clinic_gives_what_its_knobs_ask_for() -> None:
    problems = problems_of(CLINIC)
    assert len(problems) == 40 and {p.language for p in problems} == {"en"}
    assert problems == problems_of(CLINIC) != problems_of(replace(CLINIC, seed=1))


def test_an_instruction_stands_below_every_question(tmp_path: Path) -> None:
    for source in (CLINIC, write(tmp_path)):
        for plain, asked in zip(problems_of(source), problems_of(replace(source, instruction=ASK)), strict=True):
            assert asked.question == f"{plain.question}\n\n{ASK}" and asked.reference == plain.reference


def test_a_recipe_that_verifies_nothing_needs_no_reference(tmp_path: Path) -> None:
    (tmp_path / "open.jsonl").write_text('{"question": "Why rest?"}\n')
    asked = recipe(ProblemSource(source=str(tmp_path / "open.jsonl")), CLINIC)
    (problem,) = data_of(asked)[0]
    assert (problem.question, problem.reference) == ("Why rest?", None)
    verified = {"type": "verified", "verifier": {"type": "text"}, "otherwise": 0.0}
    with pytest.raises(DataError, match="fit no known schema"):
        data_of(replace(asked, reward=verified))


def test_demonstrations_of_the_clinic_ask_as_its_problems_do() -> None:
    shown = demonstrations_of(DemonstrationSource(count=20, wrong_share=0.5), replace(CLINIC, instruction=ASK))
    assert len(shown) == 20 and all(str(d.messages[-2]["content"]).endswith(ASK) for d in shown)
    assert {d.correct for d in shown} == {True, False}


def test_what_is_demonstrated_is_not_asked_again(tmp_path: Path) -> None:
    problems, path = write(tmp_path), tmp_path / "o1.jsonl"
    rows = [{"Question": f"Question {n}?", "Complex_CoT": "It is so.", "Response": f"answer {n}"} for n in (1, 4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shown = DemonstrationSource(source=str(path))
    whole = replace(recipe(problems, CLINIC), demonstrations=shown)
    assert [len(one) for one in data_of(whole)] == [6, 2]
    left, both = data_of(replace(whole, problems=replace(problems, undemonstrated=True)))
    assert [one.question for one in left] == [f"Question {n}?" for n in (0, 2, 3, 5)] and len(both) == 2
    with pytest.raises(ValueError, match=r"of which there are none.*held_out.undemonstrated"):
        replace(
            whole,
            problems=replace(problems, undemonstrated=True),
            demonstrations=None,
            held_out=replace(CLINIC, undemonstrated=True),
        )
    with pytest.raises(DataError, match=r"all of the 1 problems .* are demonstrated"):
        data_of(replace(whole, problems=replace(problems, undemonstrated=True, skip=4, limit=5)))
    with pytest.raises(DataError, match=r"none of the 1 problems .* leaves nothing out"):
        data_of(replace(whole, problems=replace(problems, undemonstrated=True, skip=5)))


@pytest.mark.parametrize(("of_problems", "of_shown"), [(ASK, None), (None, ASK), (ASK, ASK), (ASK, "Be brief.")])
def test_instructions_hide_nothing_that_is_demonstrated(
    of_problems: str | None, of_shown: str | None, tmp_path: Path
) -> None:
    problems, path = replace(write(tmp_path), undemonstrated=True, instruction=of_problems), tmp_path / "o1.jsonl"
    row = {"Question": "Question 1?", "Complex_CoT": "It is so.", "Response": "answer 1"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    shown = DemonstrationSource(source=str(path), instruction=of_shown)
    told: list[str] = []
    left, _ = data_of(replace(recipe(CLINIC, CLINIC), problems=problems, demonstrations=shown), told.append)
    assert len(left) == 5 and not any("Question 1?" in one.question for one in left)
    assert told == [f"1 of the 6 problems of {problems.source} are demonstrated and left out"]


def test_a_prompt_is_demonstrated_as_a_whole_and_by_any_turn(tmp_path: Path) -> None:
    """Two patients say yes in the end; the first's visit is demonstrated, and goes on."""
    paths = tmp_path / "problems.jsonl", tmp_path / "shown.jsonl"

    def visit(*turns: str) -> tuple[Message, ...]:
        return tuple({"role": ("user", "assistant")[at % 2], "content": one} for at, one in enumerate(turns))

    cough, ache = visit("I have a cough.", "Fever?", "Yes."), visit("My back aches.", "Since long?", "Yes.")
    asked = [Problem("cough", cough, "Flu."), Problem("ache", ache, "Strain.")]
    longer = visit("I have a cough.", "Fever?", "Yes.", "Flu.", "Thank you.", "You are welcome.")
    demonstrated = [Demonstration("d1", longer, "", "You are welcome.")]
    for path, rows in zip(paths, (asked, demonstrated), strict=True):
        path.write_text("".join(json.dumps(one.to_json()) + "\n" for one in rows), encoding="utf-8")
    problems, shown = (
        ProblemSource(source=str(paths[0]), undemonstrated=True),
        DemonstrationSource(source=str(paths[1])),
    )
    left, _ = data_of(replace(recipe(CLINIC, CLINIC), problems=problems, demonstrations=shown))
    assert [one.id for one in left] == ["ache"]


def test_demonstrations_of_a_file_take_their_instruction(tmp_path: Path) -> None:
    path = tmp_path / "o1.jsonl"
    row = {"Question": "What is it?", "Complex_CoT": "Swollen knee.", "Response": "Gout."}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (shown,) = demonstrations_of(DemonstrationSource(source=str(path), instruction=ASK), CLINIC)
    assert shown.messages[-2]["content"] == f"What is it?\n\n{ASK}" and shown.messages[-1]["role"] == "assistant"


def test_clinic_demonstrations_need_clinic_problems(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="go with problems of the clinic"):
        demonstrations_of(DemonstrationSource(), write(tmp_path))


def test_shuffled_references_are_dealt_within_a_kind() -> None:
    problems = problems_of(CLINIC)
    shuffled = problems_of(replace(CLINIC, shuffle_references=True))
    assert shuffled == shuffled_references(problems, CLINIC.seed) != problems
    for before, after in zip(problems, shuffled, strict=True):
        assert (before.id, before.messages, before.options) == (after.id, after.messages, after.options)
    for kind in {p.kind for p in problems}:
        old, new = ([p.reference for p in some if p.kind == kind] for some in (problems, shuffled))
        assert sorted(map(str, old)) == sorted(map(str, new))


def test_skip_takes_the_head_off(tmp_path: Path) -> None:
    source = write(tmp_path)
    assert [p.reference for p in problems_of(replace(source, skip=4))] == ["answer 4", "answer 5"]
    with pytest.raises(DataError, match="lower `skip`"):
        problems_of(replace(source, skip=6))


def test_held_out_problems_that_are_trained_on_are_named(tmp_path: Path) -> None:
    source = write(tmp_path)
    check(replace(source, skip=2), replace(source, limit=2))
    with pytest.raises(
        DataError, match=r"2 of 4 held-out problems are also trained on: row-3 \(trained on as row-3\), row-4"
    ):
        check(replace(source, skip=2), replace(source, limit=4))
    with pytest.raises(DataError, match="6 of 6"):  # the same rows, though the prompts differ
        check(source, replace(source, instruction=ASK))


def test_the_same_question_in_another_file_is_found(tmp_path: Path) -> None:
    source = write(tmp_path)
    rows = [{"id": "mine", "question": "Question 5?", "reference": "answer 5"}, {"question": "New?", "reference": "x"}]
    path = tmp_path / "other.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 2 held-out problems are also trained on: mine \(trained on as row-6\)"):
        check(source, ProblemSource(source=str(path)))
    check(replace(source, limit=5), ProblemSource(source=str(path)))  # row-2 of one file is not row-2 of the other


def test_held_out_questions_may_not_be_demonstrated(tmp_path: Path) -> None:
    source = replace(write(tmp_path), skip=3)
    path = tmp_path / "o1.jsonl"
    row = {"Question": "Question 1?", "Complex_CoT": "One.", "Response": "answer 1"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 3 held-out"):
        check(source, replace(source, skip=0, limit=3), DemonstrationSource(source=str(path)))


def test_a_held_out_question_that_opens_a_longer_demonstration_is_found() -> None:
    """`sft.loss_on: assistant` trains every assistant turn, so each of them gives an answer away."""
    turns = ("I have a cough.", "Since when?", "A week.", "Bronchitis.")
    messages = tuple({"role": ("user", "assistant")[at % 2], "content": one} for at, one in enumerate(turns))
    shown = Demonstration("d1", messages, "", turns[-1])
    made = recipe(CLINIC, CLINIC)
    for known, reference in ((1, "Since when?"), (3, "Bronchitis.")):
        held_out = Problem("h1", messages[:known], reference)
        with pytest.raises(DataError, match=r"1 of 2 held-out problems are also trained on: h1 \(trained on as d1\)"):
            check_held_out(made, [], [held_out, Problem("h2", ask("A week."), "x")], [shown])
    check_held_out(made, [], [Problem("h3", messages[:2], "A week."), Problem("h2", ask("A week."), "x")], [shown])


def test_the_clinics_own_split_passes() -> None:
    check(CLINIC, replace(CLINIC, split="held_out"), DemonstrationSource(count=20))
    with pytest.raises(DataError, match="10 of 10"):
        check(CLINIC, replace(CLINIC, count=10))
