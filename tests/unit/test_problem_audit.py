"""Flaws of problems: each kind is found where it is, and not found where it only looks so."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from medrl.commands.problem_audit import Audit, audit, check_kinds, undecided, write_kept
from medrl.commands.problem_audit_table import show
from medrl.construct.problem_flaws import KINDS, flaws, stem
from medrl.construct.problem_overlap import RUN, overlaps, plain, repeats, runs
from medrl.construct.problem_wording import asking, lost_figure, negation
from medrl.errors import DataError, MissingFile
from medrl.types import Problem, Verdict, ask
from medrl.verifiers import RuleVerifier, Typed

OPTIONS = {"A": "gout", "B": "septic arthritis", "C": "rickets", "D": "scurvy"}


def a_problem(question: str, reference: str = "gout", **more: Any) -> Problem:
    return Problem(more.pop("id", "p"), ask(question), reference, **more)


def kinds(problem: Problem) -> set[str]:
    return {flaw.kind for flaw in flaws(problem)}


@pytest.mark.parametrize(
    "question",
    [
        "Which of the following is NOT seen in rickets?",
        "All of the following are true of the knee except:",
        "The hip joint is bounded by all, EXCEPT",
        "Which drug is not given in acute gout?",
        "Which statement about gout is false?",
        "What is the least likely cause of her fever?",
        "Identify a drug that cannot be used in renal failure.",
        "Name the vessels which do not supply the stomach.",
        "A man has gout, which drug would not be helpful?",
        "The patella does not articulate with:",
        "Drug not used in malaria?",
        "Not a feature of scurvy is",
        "下列哪项不属于痛风的表现？",
        "关于佝偻病，以下说法错误的是",
        "患者，男，50岁，关节红肿。下列哪种药物不宜使用？",
        "以下都是坏血病的表现，除外",
    ],
)  # fmt: skip
def test_questions_that_are_turned_round_are_found(question: str) -> None:
    assert "negated" in kinds(a_problem(question, "x-ray of the knee"))
    assert negation(asking(question)) in question


@pytest.mark.parametrize(
    "question",
    [
        "A child does not eat fruit. Which vitamin is missing?",
        "Which drug should be given to patients who cannot tolerate allopurinol?",
        "What is the diagnosis in a man who does not respond to colchicine?",
        "Until what age should aspirin not be given to children?",
        "Why is aspirin not used in gout?",
        "At least how many joints must be involved?",
        "Is the statement true or false: gout is painful?",
        "Which is the least common site of a fracture?",
        "What colour are bags for waste with cadmium, which is not burnt?",
        "Which drug is not only cheap but safe?",
        "下列哪项是最常见的不良反应？",
        "患者没有发热，最可能的诊断是什么？",
        "IS THIS NOT GOUT?",
    ],
)  # fmt: skip
def test_a_negation_beside_what_is_asked_is_none(question: str) -> None:
    assert "negated" not in kinds(a_problem(question, "x-ray of the knee"))


@pytest.mark.parametrize(
    "question",
    [
        "A 40-year-old man has chest pain. An ECG is shown. What is the next step?",
        "What is the structure marked X in the figure?",
        "Based on the following radiograph, what is the diagnosis?",
        "The peripheral smear is as shown in the image. What is the diagnosis?",
        "An x‑ray of the chest is shown. What is seen?",
        "MRI of the brain was done (Figure 1). What is the cause?",
        "The results are shown in the table below. What is the sensitivity?",
        "Which muscle is indicated by the arrow?",
        "Results of the study are shown. Which mechanism explains them?",
        "心电图如图所示，最可能的诊断是什么？",
        "实验室结果见下表，诊断是什么？",
    ],
)  # fmt: skip
def test_lost_figures_and_tables_are_found(question: str) -> None:
    assert "lost_figure" in kinds(a_problem(question, "scurvy"))


@pytest.mark.parametrize(
    "question",
    [
        "Laboratory studies are ordered as seen below.\nSodium 139 mEq/L\nPotassium 4.1 mEq/L\nWhat is the diagnosis?",
        "The results are given in the table below: disease present 90, absent 10; test positive 80. What is the rate?",
        "An ECG shows ST elevation. The clinical picture is typical. What is the diagnosis?",
        "The liver is palpated 2 cm below the costal margin. What is the diagnosis?",
        "He lifts his head off the examination table. What is the diagnosis?",
        "A chest radiograph shows bilateral infiltrates. What is the diagnosis?",
        "Why does the mirror image of a molecule matter?",
    ],
)  # fmt: skip
def test_what_is_there_is_not_lost(question: str) -> None:
    assert "lost_figure" not in kinds(a_problem(question, "scurvy"))


def test_an_image_or_a_long_report_loses_no_figure() -> None:
    picture = {"type": "image", "path": "x.png"}
    text = {"type": "text", "text": "What is marked in the figure?"}
    seen = Problem("p", ({"role": "user", "content": [picture, text]},), "rib", "visual")
    assert "lost_figure" not in kinds(seen) and "lost_figure" in kinds(a_problem(text["text"], "rib"))
    report = "The mass was resected (Fig. 2). " + "She went home well. " * 90
    assert not lost_figure(report + "What was her age?") and lost_figure(report + "What does Figure 2 show?")


def test_references_that_need_options_or_are_none() -> None:
    question = "What causes a swollen toe?"
    found = {
        reference: kinds(a_problem(question, reference))
        for reference in ("all of the above", "Both", "以上都是", "ae", "A and C", "B, D", "A、C", "", "disease", "gout",
                          "ace", "E. coli", "ba", "both kidneys", "药物")
    }  # fmt: skip
    assert [found[r] for r in ("all of the above", "Both", "以上都是")] == [{"reference_names_options"}] * 3
    assert [found[r] for r in ("ae", "A and C", "B, D", "A、C", "ace")] == [{"several_keys"}] * 5
    assert found[""] == {"no_reference"} and found["disease"] == found["药物"] == {"general_reference"}
    assert not any(found[r] for r in ("gout", "E. coli", "ba", "both kidneys"))
    assert kinds(a_problem("Which vitamins dissolve in fat?", "A and D")) == set()
    assert kinds(a_problem("Are one or both lungs affected?", "Both")) == set()
    assert kinds(Problem("d", ask("hello"), None, "dialogue")) == set()


def test_references_of_choices() -> None:
    asked = a_problem(
        "Which is it?\nA. gout\nB. septic arthritis\nC. rickets\nD. scurvy", "B", kind="choice", options=OPTIONS
    )
    assert kinds(asked) == set() and stem(asked) == "Which is it?"
    several = [a_problem("Which is it?", r, kind="choice", options=OPTIONS) for r in ("AC", "A, C", "B、D")]
    assert [kinds(one) for one in several] == [{"several_keys"}] * 3
    for question in (
        "Which of these are painful?",
        "Select all that apply.",
        "多选：哪些关节受累？",
        "Which two are meant?",
    ):
        assert kinds(a_problem(question, "AC", kind="choice", options=OPTIONS)) == set()
    assert kinds(a_problem("Which is it?", "E", kind="choice", options=OPTIONS)) == {"reference_no_option"}
    assert kinds(a_problem("Which is it?", "Rickets", kind="choice", options=OPTIONS)) == set()
    for same, options in (
        (True, {"A": "Haematogenous spread", "B": "the hematogenous spread"}),
        (False, {"A": "AA", "B": "Aa", "C": "aa"}),
        (False, {"A": "pH < 7.35 in blood", "B": "pH > 7.35 in blood"}),
        (True, {"A": "12", "B": " 12"}),
    ):
        assert (kinds(a_problem("Which?", "A", kind="choice", options=options)) == {"equal_options"}) is same


def test_several_sentences_are_told_from_abbreviations() -> None:
    long = ("Give oxygen first. Then call for help.", "先吸氧。再呼救。")
    short = ("S. aureus", "Penicillin G i.v. every 4 h", "Streptococcus spp. Group A", "Vitamin B12.", "吸氧。")
    assert all("several_sentences" in kinds(a_problem("What first?", text)) for text in long)
    assert not any("several_sentences" in kinds(a_problem("What first?", text)) for text in short)


def test_open_questions_without_their_options_and_with_many_answers() -> None:
    lost = ("Which of the following causes gout?", "Which one of these options is best?", "下列哪项是痛风的病因？")
    assert all("lost_options" in kinds(a_problem(text, "urate")) for text in lost)
    inline = "Which of the following causes gout: (A) urate (B) calcium (C) iron?"
    assert "lost_options" not in kinds(a_problem(inline, "urate"))
    assert "lost_options" not in kinds(a_problem(lost[0], "A", kind="choice", options=OPTIONS))
    many = ("What is an example of a beta blocker?", "Name one drug against gout.",
            "What is a common side effect of aspirin?", "List two signs of scurvy.", "列举一种治疗痛风的药物。")  # fmt: skip
    assert all("not_unique" in kinds(a_problem(text, "x")) for text in many)
    one = ("This is an example of what?", "What is the commonest side effect of aspirin?", "Name the drug of choice in gout.",
           "Identify the bone.", "What is a Baker cyst?")  # fmt: skip
    assert not any("not_unique" in kinds(a_problem(text, "x")) for text in one)


def test_answers_that_stand_in_the_question() -> None:
    def leaks(question: str, reference: str, **more: Any) -> bool:
        return "leaked" in kinds(a_problem(question, reference, **more))

    assert (
        leaks("A man has gout. Which disease is gouty arthritis, or rather what does gout mean?", "gout") is False
    )  # "or"
    assert leaks("Which vessel is damaged in middle meningeal artery bleeding?", "Middle meningeal artery")
    assert leaks("痛风发作时为什么出现关节红肿？", "关节红肿")
    assert leaks("Which joint fluid shows urate crystals?", "uric acid", aliases=("urate crystals",))
    assert leaks("Which sign is due to scurvy?\nA. x\nB. scurvy", "B", kind="choice", options={"A": "x", "B": "scurvy"})
    assert not leaks("He has taken aspirin for years. What is the most likely cause of the bleeding?", "aspirin")
    assert not leaks("右侧神经损伤，伸舌时偏向哪一侧？", "右侧") and not leaks("Which eye of the left eyes?", "left")
    assert not leaks("Is the tumour benign or malignant?", "benign")
    assert not leaks("Did the rate increase?", "increase") and not leaks("What is 5 mg in g?", "5 mg", kind="numeric")
    assert not leaks("Which is due to scurvy?\nA. gout\nB. x", "A", kind="choice", options={"A": "gout", "B": "x"})


def test_the_sentence_that_asks() -> None:
    assert asking("He is ill. What is it? Answer yes, no or maybe.") == "What is it?"
    assert asking("He has a fever of 38.5 degrees. Name the cause.\nAnswer in one word.") == "Name the cause."
    assert asking("男，50岁。诊断是什么？") == "诊断是什么？" and asking("") == ""


def test_every_64_characters_count_and_not_one_fewer() -> None:
    middle = "abcdefghij" * 7
    evaluation = [a_problem(f"Begin {middle[:RUN]} end", id="held")]
    whole = a_problem(f"Other-words, {middle[:RUN].upper()}: other words", id="a")
    short = a_problem(f"other {middle[1:RUN]}x other", id="b")
    found = overlaps([whole, short], evaluation)
    assert list(found) == [0] and found[0][0].other == "held" and middle[:RUN] in found[0][0].words
    assert overlaps([a_problem("What is gout?", id="a")], [a_problem("what is GOUT", id="h")])[0][1].kind == "contained"
    assert overlaps([a_problem("What is gout", id="a")], [a_problem("What is gout like", id="h")]) == {}
    assert plain("Ｗhat IS  it?—x_y") == "what is it x y"
    assert len(list(runs("a" * 100))) == 37 and len(set(runs("ab" * 80))) == 2 and list(runs("a" * 63)) == []


def test_phrases_are_told_from_problems_that_were_seen() -> None:
    phrase = "which of the following is the most appropriate next step in the management of this patient"
    case = "A 31-year-old potter comes with a swollen wrist after she lifted a crate of wet clay onto a high shelf; "
    evaluation = [a_problem(f"{case} {phrase}?", id="held")]
    other = "A 70-year-old sailor comes with bleeding gums, loose teeth and bruises on both of his legs after months at sea; "
    found = overlaps(
        [a_problem(f"{other}{phrase}?"), a_problem(f"{case}what is the name of the joint that she hurt?")], evaluation
    )
    assert [[flaw.kind for flaw in found[place]] for place in (0, 1)] == [["overlap"], ["overlap", "contained"]]


def test_the_index_is_held_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number} " + " ".join(f"word{number}x{i}" for i in range(20)) for number in range(8)]
    problems, held_out = ([a_problem(text, id=f"{name}{i}") for i, text in enumerate(texts)] for name in "ph")
    at_once = overlaps(problems, held_out)
    monkeypatch.setattr("medrl.construct.problem_overlap.HELD", 100)
    assert overlaps(problems, held_out) == at_once and at_once[5][0].other == "h5" and len(at_once) == 8


def test_duplicates_near_duplicates_and_contradictions() -> None:
    case = "A 31-year-old potter comes with a swollen wrist after she lifted a crate of wet clay onto a high shelf. "
    problems = [
        a_problem(case + "What is it?", id="first"),
        a_problem(case.upper() + "what is it", "Gout.", id="same"),
        a_problem(case + "What is it?", "scurvy", id="other"),
        a_problem(case.replace("potter", "baker") + "What is it?", id="near"),
        a_problem(case + "Which joint is hurt?", "wrist", id="another question"),
        a_problem("Which is true?", "A", kind="choice", options={"A": "gout hurts", "B": "it does not"}, id="choice"),
        a_problem(
            "Which is true?", "B", kind="choice", options={"A": "It does not", "B": "Gout hurts"}, id="reordered"
        ),
        a_problem("Which is true?", "A", kind="choice", options={"A": "rickets hurts", "B": "no"}, id="other options"),
        a_problem("Pain killer?", "paracetamol", aliases=("acetaminophen",), id="alias"),
        a_problem("Pain killer?", "acetaminophen", id="aliased"),
    ]
    found = {problems[place].id: {flaw.kind: flaw.other for flaw in told} for place, told in repeats(problems).items()}
    assert found == {
        "first": {"contradiction": "other"},
        "same": {"duplicate": "first", "contradiction": "other"},
        "other": {"contradiction": "first"},
        "near": {"near_duplicate": "first"},
        "reordered": {"duplicate": "choice"},
    }


def test_a_phrase_that_many_share_makes_no_near_duplicates() -> None:
    tail = " Answer with the name of the disease alone, in one short line, and give no reasons for what you chose. " * 2
    texts = [f"What is meant by {f'term{i}' * 5}?{tail}" for i in range(60)]
    assert repeats([a_problem(text, id=text) for text in texts]) == {}
    assert len(repeats([a_problem(text, id=text) for text in texts[:3]])) == 2  # of three it could be the matter itself


def test_time_grows_with_the_file_and_no_faster() -> None:
    problems = [a_problem(" ".join(f"w{i}y{j * j}" for j in range(40)), id=str(i)) for i in range(300)]
    begin = time.perf_counter()
    assert len(overlaps(problems, problems)) == 300 and repeats(problems) == {}
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(
    "piece", ["who is not ", "which of the following ", "A. x ", "not  ", "shown in the ", "哪项不", "except "]
)
def test_a_text_of_any_length_takes_a_bounded_time(piece: str) -> None:
    begin = time.perf_counter()
    kinds(a_problem(piece * (100_000 // len(piece)), piece * 100))
    assert time.perf_counter() - begin < 20


class Shy(RuleVerifier):
    name = "shy"

    def check(self, problem: Problem, response: Any) -> Verdict:
        return Verdict.abstain("not sure") if problem.id == "b" else Verdict(float(problem.id == "a"))


class Half(Shy):
    """Accepts no more than a part."""

    def check(self, problem: Problem, response: Any) -> Verdict:
        return Verdict(0.8, reason="2 of 3", parts={"whole": 0.0})


def test_a_reference_that_is_not_accepted_is_undecided() -> None:
    problems = [a_problem("What is it?", id=name) for name in "abc"]
    found = undecided(problems, Shy())
    assert {place: flaw.words for place, (flaw,) in found.items()} == {
        1: "gout: abstain, not sure",
        2: "gout: rejected,",
    }
    clean = [
        *problems,
        a_problem("Which?", "B", kind="choice", options=OPTIONS),
        a_problem("How much?", "5 mg", kind="numeric"),
    ]
    assert undecided(clean, Typed()) == {}
    lettered = a_problem(
        "Which is so: a) x b) y c) z", "C", kind="choice", options={"A": "a", "B": "c", "C": "bc", "D": "ad"}
    )
    assert list(undecided([lettered], Typed())) == [0]
    triad = a_problem("Name the triad.", "fever; jaundice; pain")
    (flaw,) = undecided([triad], Half())[0]
    assert flaw.words == "fever; jaundice; pain: rejected, 2 of 3"


ROWS = [
    {"id": "fine", "question": "What causes a swollen toe?", "reference": "gout"},
    {"id": "not", "question": "Which drug is not given in gout?", "reference": "aspirin"},
    {"id": "twice", "question": "what causes a swollen toe", "reference": "Gout"},
    {"id": "fine", "question": "What is scurvy a lack of?", "reference": "vitamin C"},
    {"id": "empty", "question": "What?", "reference": ""},
    {"id": "seen", "question": "What is rickets a lack of?", "reference": "vitamin D", "note": "值"},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    problems, evaluation = tmp_path / "problems.jsonl", tmp_path / "evaluation.jsonl"
    problems.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    evaluation.write_text(json.dumps({"id": "e", "question": "WHAT is rickets a lack of", "reference": "D"}) + "\n")
    return problems, evaluation


def test_a_file_is_audited_row_by_row(files: tuple[Path, Path]) -> None:
    report = audit(files[0], [files[1]]).report
    assert {row["row"]: [flaw["kind"] for flaw in row["flaws"]] for row in report["rows"]} == {
        2: ["negated"], 3: ["duplicate"], 4: ["broken_row"], 5: ["broken_row"], 6: ["overlap", "contained"],
    }  # fmt: skip
    assert (report["n"], report["flawed"], report["clean"], report["against_problems"]) == (6, 5, 1, 1)
    assert report["by_flaw"]["broken_row"] == {"n": 2, "share": 2 / 6} and set(report["by_flaw"]) == set(KINDS)
    words = [flaw["words"] for row in report["rows"] for flaw in row["flaws"] if flaw["kind"] == "broken_row"]
    assert words == ["its id 'fine' is that of row 1 already", "column 'reference' is empty or no text"]
    assert report["rows"][1]["flaws"][0]["other"] == "fine"
    json.dumps(report)


def test_rows_are_kept_as_they_were_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    found: Audit = audit(files[0], [files[1]])
    out = tmp_path / "kept.jsonl"
    assert write_kept(out, found) == 1 and json.loads(out.read_text()) == ROWS[0]
    assert write_kept(out, found, ["negated", "overlap"]) == 2
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["fine", "twice"]
    assert write_kept(out, found, ["negated"]) == 3
    assert out.read_text(encoding="utf-8").splitlines()[-1] == json.dumps(ROWS[5], ensure_ascii=False)
    before = out.read_bytes()
    with pytest.raises(DataError, match="no kind of flaw 'negatd'; did you mean 'negated'"):
        write_kept(out, found, ["negatd"])
    check_kinds(list(KINDS))
    assert out.read_bytes() == before and not list(tmp_path.glob(".*"))


def test_files_that_cannot_be_audited(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(MissingFile, match=r"did you mean 'problems\.jsonl'"):
        audit(tmp_path / "problem.jsonl")
    with pytest.raises(MissingFile):
        audit(files[0], [tmp_path / "none.jsonl"])
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"text": "x"}\n')
    with pytest.raises(DataError, match="fit no known schema"):
        audit(odd)
    odd.write_text("{\n")
    with pytest.raises(DataError, match=r"odd\.jsonl line 1: not JSON"):
        audit(odd)


def test_the_table_shows_counts_and_examples(files: tuple[Path, Path]) -> None:
    file = io.StringIO()
    show(Console(file=file, width=120, highlight=False, emoji=False, markup=False), audit(files[0]), examples=1)
    said = file.getvalue()
    assert "problems.jsonl: 6 problems" in said and "4 of 6 have a flaw (66.7%), 2 none" in said
    assert "  twice (as fine): what causes a swollen toe" in said and said.count("that of row 1 already") == 1
    assert "column 'reference'" not in said and "overlap" not in said


def test_published_files_are_read_and_mostly_clean(shared_data: Path) -> None:
    for name, bound in (("o1_demo", 0.2), ("pubmedqa", 0.05), ("medcalc", 0.1)):
        report = audit(shared_data / f"{name}.jsonl", limit=50).report
        assert report["n"] >= 45 and report["by_flaw"]["broken_row"]["n"] == 0 and report["share_flawed"] < bound
