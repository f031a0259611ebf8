"""Published rows through audit, verification and evaluation: every reference is read as right, a fixed letter is not."""

from collections import Counter
from pathlib import Path

import pytest

from medrl.commands.evaluate_answers import distrusted
from medrl.data.problems import load_problems
from medrl.evaluation.answer_files import load_answers, load_sets
from medrl.evaluation.answers import Answered, Answers, Reply
from medrl.evaluation.figures import set_figures
from medrl.evaluation.scoring import score
from medrl.evaluation.text_metrics import of_answers

pytestmark = pytest.mark.slow
ROWS = {"medqa": 653, "medmcqa": 1000, "pubmedqa": 500}


def answered(folder: Path, name: str, say: str) -> Answers:
    """Every problem of a file, with one reply: `say` with the label and text of the reference or of the first option."""
    items = []
    for of, one in load_sets([folder / f"{name}.jsonl"]):
        first = next(iter(one.options), "")
        about = {"label": one.reference, "text": one.options.get(str(one.reference)), "first": first}
        items.append(Answered(one, (Reply(say.format(**about)),), of))
    return Answers(name, tuple(items))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("say", ["The answer is {label}.", "<think>Hard to say.</think>\n\n{label}. {text}"])
def test_references_are_right_by_every_reader(shared_data: Path, name: str, say: str) -> None:
    found = set_figures(name, score(answered(shared_data, name, say)))
    assert found["problems"] == ROWS[name] and found["unscored"] == {}
    for reader in ("strict", "first", "last"):
        assert found["accuracy"][reader]["value"] >= 0.99, reader


@pytest.mark.parametrize(
    ("name", "low", "high"), [("medqa", 0.18, 0.32), ("medmcqa", 0.22, 0.40), ("pubmedqa", 0.4, 0.7)]
)
def test_a_fixed_answer_is_worth_its_share(shared_data: Path, name: str, low: float, high: float) -> None:
    answers = answered(shared_data, name, "The answer is {first}.")
    found = set_figures(name, score(answers))["accuracy"]
    share = sum(one.problem.reference == next(iter(one.problem.options)) for one in answers.items) / len(answers.items)
    assert found["strict"]["value"] == pytest.approx(share, abs=0.003) and low < share < high


def test_gpt_4o_on_the_demonstration_rows_of_huatuogpt_o1(shared_data: Path) -> None:
    """Prose that names options but commits to none: the readers differ widely, and none of them is its accuracy."""
    answers = load_answers(shared_data / "o1_demo.jsonl", schema="choice", response="Response")
    found = set_figures("o1_demo", score(answers))
    assert found["problems"] == 93 and found["unanswered"] > 0.5
    assert 0.2 < found["accuracy"]["first"]["value"] < 0.5
    assert found["accuracy"]["strict"]["value"] is None and found["unscored"] == {"undecided": 18}  # in other words
    assert found["accuracy"]["strict"]["bounds"] == pytest.approx([0.0, 18 / 93])
    open_form = load_answers(shared_data / "o1_demo.jsonl", schema="o1_verifiable", response="Response")
    left = set_figures("o1_demo", score(open_form))
    assert left["accuracy"]["strict"]["value"] is None and left["unscored"]["undecided"] > 80  # rules abstain on prose
    assert left["accuracy"]["strict"]["bounds"][1] - left["accuracy"]["strict"]["bounds"][0] > 0.8
    kinds = Counter(kind for flaws in distrusted(open_form).values() for kind, _ in flaws)
    assert kinds["negated"] >= 10


def test_cases_of_agentclinic_and_answers_of_kqa(shared_data: Path) -> None:
    cases = load_problems(shared_data / "agentclinic.jsonl")
    assert len(cases) == 57 and all(one.kind == "open" and "diagnosis" in one.question for one in cases)
    said = Answers("reference", tuple(Answered(one, (Reply(f"The diagnosis is {one.reference}."),)) for one in cases))
    found = set_figures("agentclinic", score(said))
    assert found["accuracy"]["strict"]["bounds"][1] == 1.0 and found["unscored"].get("undecided", 0) <= 6
    physicians = load_answers(shared_data / "kqa.jsonl", response="Free_form_answer")
    assert len(physicians.items) == 103 and score(physicians) == []  # a rubric needs a judge


def test_text_metrics_of_kqa_and_chinese_rows(shared_data: Path) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    physicians = load_answers(shared_data / "kqa.jsonl", response="Free_form_answer")
    found = of_answers(physicians, ["words"])["kqa"]
    assert found["BLEU-4 (13a)"] == pytest.approx(100.0) and found["ROUGE-L (13a)"] == pytest.approx(100.0)
    asked = Answers(
        "echo", tuple(Answered(one.problem, (Reply(one.problem.question),), "kqa") for one in physicians.items)
    )
    echo = of_answers(asked, ["words"])["kqa"]
    assert echo["BLEU-4 (13a)"] < 5 and 0 < echo["ROUGE-L (13a)"] < 20
