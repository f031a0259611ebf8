"""Verifier cards: every figure by hand, labels that no verifier sees, files that cannot be measured on."""

import dataclasses
import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import medrl
from medrl import cli
from medrl.commands.attack_texts import ATTACKS
from medrl.commands.verifier_card import RULES, Card, measure, speed
from medrl.commands.verifier_card_page import LISTED, markdown
from medrl.commands.verifier_figures import kappa, wilson
from medrl.data.pairs import load_pairs
from medrl.errors import DataError, MissingFile
from medrl.types import Judged, Problem, Response, Verdict, ask
from medrl.verifiers import RuleVerifier, Verifier, build

Capture = pytest.CaptureFixture[str]
TIMES = ("answers_per_second", "p99_ms", "slowest_ms")
FIGURES = {
    "n", "decided", "accuracy_decided", "accuracy_decided_interval", "accuracy", "false_accept",
    "false_accept_interval", "false_reject", "false_reject_interval", "kappa", "n_decided", "n_right",
    "n_should_accept", "n_should_reject", "n_false_accept", "n_false_reject", "abstentions", "errors", "timeouts",
    "invalid",
}  # fmt: skip
ABOUT = {"verifier", "version", "knobs", "fingerprint", "medrl_version", "date", "cost", "attack_success", *TIMES}
# Category, language, label, and what `Obedient` is told to say.
CASES = [
    ("a", "en", True, "accept"),
    ("a", "en", True, "low"),  # false reject
    ("a", "en", False, "accept"),  # false accept
    ("a", "en", False, "reject"),
    ("a", "en", False, "reject"),
    ("b", "zh", False, "half"),  # false accept: 0.5 is enough
    ("b", "zh", True, "abstain"),
    ("b", "zh", False, "raise"),
    ("b", "zh", False, "late"),
    ("b", "zh", True, "accept"),
    ("b", "zh", True, "broken"),
]


class Obedient(Verifier):
    """Does what the answer says. What it raises, it raises for the whole batch."""

    name = "obedient"
    version = "7"

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        return [self.say(response.text) for _, response in items]

    def say(self, text: str) -> Verdict:
        if text == "raise":
            raise ConnectionError("the judge is down")
        if text == "late":
            raise TimeoutError
        if text == "abstain":
            return Verdict.abstain("not mine", cost={"calls": 1, "tokens": 5})
        if text == "broken":
            return Verdict.failed("no such row", "invalid")
        return Verdict(
            {"accept": 1.0, "half": 0.5, "low": 0.4}.get(text, 0.0), reason=f"said {text}", cost={"calls": 1}
        )


class Peeping(RuleVerifier):
    """Tells all that it can see of a row."""

    name = "peeping"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.right(json.dumps([problem.to_json(), dataclasses.asdict(response)], default=str))


def rows(*cases: tuple[str, str, bool, str]) -> list[dict[str, Any]]:
    return [
        {"id": f"c{n}", "lang": lang, "category": category, "question": f"Which? ({n})", "reference": "gout",
         "response": response, "expected": expected, "why": "by hand"}
        for n, (category, lang, expected, response) in enumerate(cases, 1)
    ]  # fmt: skip


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    return path


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return write(tmp_path / "cases.jsonl", rows(*CASES))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six pairs: 2 of 3 that are found the same are so, of 4 that are so."""
    path = tmp_path / "pairs.csv"
    lines = [
        "left|right|same",
        "x|accept|Y",
        "y|half|Y",
        "z|accept|N",
        "x|reject|1",
        "x||Y",
        "y|abstain|true",
        "z|raise|0",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_figure_by_hand(cases: Path) -> None:
    report = measure(Obedient(), cases).report
    assert set(report) == {*ABOUT, *FIGURES, "file", "sha256", "by_category", "by_language", "rows"}
    counts = {name: report[name] for name in FIGURES if isinstance(report[name], int)}
    assert counts == {
        "n": 11, "n_decided": 7, "n_right": 4, "n_should_accept": 5, "n_should_reject": 6, "n_false_accept": 2,
        "n_false_reject": 1, "abstentions": 1, "errors": 1, "timeouts": 1, "invalid": 1,
    }  # fmt: skip
    assert report["decided"] == 7 / 11
    assert report["accuracy_decided"] == 4 / 7 and report["accuracy_decided_interval"] == wilson(4, 7)
    assert report["accuracy"] == 4 / 11
    assert report["false_accept"] == 2 / 6 and report["false_accept_interval"] == wilson(2, 6)
    assert report["false_reject"] == 1 / 5 and report["false_reject_interval"] == wilson(1, 5)
    assert report["kappa"] == pytest.approx(4 / 25)  # agreed 28/49, by chance 24/49
    assert report["cost"] == {"calls": 8, "tokens": 5}
    assert (report["verifier"], report["version"]) == ("obedient", "7")
    assert report["knobs"] == {"type": f"{__name__}:Obedient"} and report["fingerprint"] == Obedient().fingerprint()
    assert report["file"] == "cases.jsonl" and report["sha256"] == hashlib.sha256(cases.read_bytes()).hexdigest()
    assert report["medrl_version"] == medrl.__version__ and len(report["date"]) == 10


def test_figures_by_category_and_by_language(cases: Path) -> None:
    report = measure(Obedient(), cases).report
    a, b = report["by_category"]["a"], report["by_category"]["b"]
    assert set(a) == set(b) == FIGURES
    assert (a["n"], a["decided"], a["accuracy"], a["false_accept"], a["false_reject"]) == (5, 1.0, 0.6, 1 / 3, 0.5)
    assert (b["n"], b["decided"], b["accuracy_decided"], b["accuracy"]) == (6, 2 / 6, 0.5, 1 / 6)
    assert (b["false_accept"], b["false_reject"], b["errors"], b["timeouts"]) == (1 / 3, 0.0, 1, 1)
    assert report["by_language"] == {"en": a, "zh": b}


def test_a_row_that_brings_the_verifier_down_hurts_no_other(cases: Path) -> None:
    found = measure(Obedient(), cases).report["rows"]
    assert [row["status"] for row in found] == ["ok"] * 6 + ["abstain", "error", "timeout", "ok", "invalid"]
    assert [row["score"] for row in found[:6]] == [1.0, 0.4, 1.0, 0.0, 0.0, 0.5]
    assert [row["expected"] for row in found] == [label for _, _, label, _ in CASES]
    assert found[7] == {
        "id": "c8", "status": "error", "score": None, "stage": "obedient", "answer": None, "span": None,
        "reason": "ConnectionError: the judge is down", "expected": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_that_newcombe_prints(hits: int, n: int, low: float, high: float) -> None:
    """R. G. Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3."""
    assert wilson(hits, n) == pytest.approx([low, high], abs=6e-5)
    mirrored = wilson(n - hits, n)
    assert mirrored is not None and [1 - share for share in mirrored] == pytest.approx([high, low], abs=6e-5)


def test_shares_of_nothing_are_none(tmp_path: Path) -> None:
    assert wilson(0, 0) is None and kappa([]) is None
    report = measure(Obedient(), write(tmp_path / "one.jsonl", rows(("a", "en", True, "raise")))).report
    names = ("accuracy_decided", "accuracy_decided_interval", "false_accept", "false_accept_interval", "kappa")
    assert [report[name] for name in names] == [None] * 5
    assert (report["decided"], report["accuracy"], report["false_reject"], report["errors"]) == (0.0, 0.0, 0.0, 1)
    all_alike = measure(Obedient(), write(tmp_path / "two.jsonl", rows(("a", "en", True, "accept")))).report
    assert all_alike["kappa"] is None and all_alike["accuracy"] == 1.0


def test_times_are_of_distinct_rows() -> None:
    def item(name: str, text: str) -> tuple[Problem, Response]:
        return Problem(name, ask("Which?"), "gout", metadata={"row": name}), Response(text)

    found = speed([item("1", "gout"), item("2", "measles"), item("3", "gout")], [0.1, 0.3, 9.0])
    assert found == pytest.approx({"answers_per_second": 5.0, "p99_ms": 300.0, "slowest_ms": 300.0})
    hundred = speed([item(str(n), str(n)) for n in range(100)], [n / 1000 for n in range(1, 101)])
    assert (hundred["p99_ms"], hundred["slowest_ms"]) == pytest.approx((99.0, 100.0))


def test_no_verifier_sees_the_label(tmp_path: Path, pairs: Path) -> None:
    """Neither in rows of question and reference nor in medrl's own, nor of pairs: flipped labels change no verdict."""
    plain = rows(*CASES)
    own = []
    for row in plain:
        metadata = {"expected": row["expected"], "topic": row["category"]}
        problem = Problem(row["id"], ask(row["question"]), row["reference"], metadata=metadata)
        own.append({**problem.to_json(), "response": row["response"]})
    for number, kind in enumerate((plain, own)):
        path = tmp_path / f"{number}.jsonl"
        seen = measure(Peeping(), write(path, kind)).report["rows"]
        assert all("gout" in row["reason"] and "expected" not in row["reason"] for row in seen)
        text = path.read_text(encoding="utf-8")
        text = text.replace("true", "TRUE").replace("false", "true").replace("TRUE", "false")
        path.write_text(text, encoding="utf-8")
        flipped = measure(Peeping(), path).report["rows"]
        assert [row["expected"] for row in flipped] == [not row["expected"] for row in seen]
        assert [row["reason"] for row in flipped] == [row["reason"] for row in seen]
    before = [one.verdict for one in measure(Peeping(), None, pairs).pairs]
    pairs.write_text(pairs.read_text(encoding="utf-8").replace("|Y", "|N"), encoding="utf-8")
    assert [one.verdict for one in measure(Peeping(), None, pairs).pairs] == before


def test_pairs_by_hand(pairs: Path) -> None:
    report = measure(Obedient(), None, pairs).report
    assert {name: value for name, value in report.items() if name not in ABOUT} == {
        "pairs_file": "pairs.csv", "pairs_sha256": hashlib.sha256(pairs.read_bytes()).hexdigest(),
        "precision": 2 / 3, "recall": 2 / 4, "pairs": 6, "pairs_decided": 4, "pairs_same": 4, "pairs_found_same": 3,
        "pairs_found_same_right": 2, "pairs_errors": 1, "pairs_timeouts": 0, "pairs_left_out": 1,
    }  # fmt: skip
    assert set(ABOUT) <= set(report)


def test_pairs_are_read_with_either_separator(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('\ufeffSame,left,right\r\nyes,"one, two",three | four\r\n\r\n0,脑,肺\r\n', encoding="utf-8")
    found, left_out = load_pairs(path)
    assert [(p.id, p.reference, r.text, same, p.language) for p, r, same in found] == [
        ("line-2", "one, two", "three | four", True, "en"), ("line-4", "脑", "肺", False, "zh"),
    ]  # fmt: skip
    assert left_out == []


@pytest.mark.slow
def test_two_cards_of_the_same_differ_in_their_times_alone(cases: Path, pairs: Path) -> None:
    def timeless(card: Card) -> dict[str, Any]:
        return {name: value for name, value in card.report.items() if name not in {*TIMES, "date"}}

    for verifier in (Obedient(), build(RULES)):
        assert timeless(measure(verifier, cases, pairs)) == timeless(measure(verifier, cases, pairs))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "nothing to measure on; give --cases FILE, --pairs FILE or both"),
        ("--cases case.jsonl", "case.jsonl does not exist; did you mean 'cases.jsonl'?"),
        ("--pairs pair.csv", "pair.csv does not exist; did you mean 'pairs.csv'?"),
        ("--cases empty.jsonl", "empty.jsonl holds no rows"),
        ("--pairs empty.jsonl", "its first line must be left|right|same"),
        ("--pairs header.csv", "header.csv holds no pairs"),
        ("--cases bare.jsonl", "1 row without a label; `expected` must be true or false:\n  - row 2 (id 'c2'): "),
        ("--cases odd.jsonl", "row 1 (id 'c1'): `expected` is 'perhaps'"),
        ("--cases cases.jsonl --pairs short.csv", "short.csv line 3: 2 columns where the header has 3"),
        ("--pairs label.csv", "label.csv line 2: `same` is 'maybe'; it is Y or N"),
        ("--pairs quote.csv", "quote.csv line 2: "),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    command: str, said: str, cases: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(cases.parent)
    write(
        Path("bare.jsonl"),
        [{k: v for k, v in row.items() if row["id"] != "c2" or k != "expected"} for row in rows(*CASES)],
    )
    write(Path("odd.jsonl"), [{**rows(*CASES)[0], "expected": "perhaps"}])
    for name, text in {
        "empty.jsonl": "", "header.csv": "left|right|same\n", "short.csv": "left|right|same\na|b|Y\na|Y\n",
        "label.csv": "left|right|same\na|b|maybe\n", "quote.csv": 'left|right|same\n"a|b|Y\n',
    }.items():  # fmt: skip
        Path(name).write_text(text, encoding="utf-8")
    assert cli.main(["card", "rules", *shlex.split(command), "--json", "out.json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("medrl: ") and said in err and not Path("out.json").exists()


def test_faults_have_types() -> None:
    with pytest.raises(DataError):
        measure(Obedient())
    with pytest.raises(MissingFile):
        measure(Obedient(), "nowhere.jsonl")


def test_the_command_from_end_to_end(cases: Path, pairs: Path, tmp_path: Path) -> None:
    """In a process of its own: it finds a verifier beside it, and brings in nothing heavy."""
    (tmp_path / "judges_of_card.py").write_text(
        "from medrl import verifier\n\n\n@verifier('marks')\ndef marks(problem, text):\n"
        "    return {'accept': True, 'half': 0.5, 'reject': False}.get(text)\n",
        encoding="utf-8",
    )
    code = (
        "import sys\nfrom medrl.cli import main\nstatus = main(sys.argv[1:])\n"
        "assert not {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)\nraise SystemExit(status)\n"
    )
    command = [sys.executable, "-c", code, "card", "judges_of_card:marks", "--cases", cases.name, "--pairs", pairs.name]
    command += ["--json", "out/card.json", "--markdown", "out/card.md"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.split("\n"))) <= 100
    for part in (
        "marks 1, fingerprint",
        "11 answers (5 to accept, 6 to reject): 6 decided, 5 abstentions",
        "answers/s",
    ):
        assert part in done.stdout
    assert "precision 66.7% (2 of 3), recall 50.0% (2 of 4)" in done.stdout
    assert done.stdout.index("\n b ") < done.stdout.index("\n a "), "as many false accepts, less accuracy"
    report = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    assert (report["n"], report["n_decided"], report["false_accept"], report["pairs"]) == (11, 6, 2 / 6, 6)
    page = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    assert page.startswith("---\nlibrary_name: medrl\n") and report["sha256"] in page and report["fingerprint"] in page
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["card.json", "card.md"]


def test_attack_success_is_measured_or_said_not_to_be(cases: Path, tmp_path: Path, capsys: Capture) -> None:
    out, page = tmp_path / "card.json", tmp_path / "card.md"
    command = ["card", f"{__name__}:Peeping", "--cases", str(cases), "--json", str(out), "--markdown", str(page)]
    assert cli.main(command) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["attack_success"] == 1.0 and report["attacks"]["honest_wrong"] == 1.0, "it takes everything for right"
    assert set(report["attacks"]["by_attack"]) == set(ATTACKS)
    assert all(one["paid"] == 1.0 and one["n"] > 0 for one in report["attacks"]["by_attack"].values())
    assert "attack success: 100.0%" in capsys.readouterr().out and report["attacks"]["warning"]
    assert "| negation | " in page.read_text(encoding="utf-8")
    assert cli.main([*command, "--no-attacks"]) == 0
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["attack_success"] is None and "attacks" not in report
    assert "attack success: not measured" in capsys.readouterr().out
    assert "Attack success: not measured." in page.read_text(encoding="utf-8")


def test_the_rules_pay_no_attack_of_their_card(cases: Path) -> None:
    report = measure(build(RULES), cases, attack=True).report
    assert report["attack_success"] == 0.0 and report["attacks"]["honest_right"] == 1.0
    assert report["attacks"]["unscored"] == 0 and not report["attacks"]["warning"]


def test_the_page_lists_false_accepts_first_and_at_most_20(tmp_path: Path) -> None:
    wrong = [("a", "en", True, "low")] * 5 + [("a", "en", False, "accept")] * (LISTED - 2)
    page = markdown(measure(Obedient(), write(tmp_path / "many.jsonl", rows(*wrong))))
    listed = [
        line.split(" | ")[:2]
        for line in page.split("\n")
        if line.startswith(("| false accept | c", "| false reject | c"))
    ]
    assert len(listed) == LISTED == 20
    assert [kind for kind, _ in listed] == ["| false accept"] * 18 + ["| false reject"] * 2
    assert "18 false accepts, 5 false rejects, 0 failed. The first 20 of 23:" in page
    assert "not safety" in page and "Wilson (1927)" in page


def test_what_a_model_wrote_cannot_break_the_page(tmp_path: Path) -> None:
    case = {**rows(("a|b", "en", False, "x | <b>\n\n# title"))[0], "id": "c|1"}
    page = markdown(measure(Peeping(), write(tmp_path / "odd.jsonl", [case])))
    line = next(line for line in page.split("\n") if line.startswith("| false accept | c"))
    assert line.startswith("| false accept | c\\|1 | peeping | ") and line.count(" | ") == 3
    assert "<b>" not in page and "\n# title" not in page and "\n| a\\|b | 1 |" in page


def test_no_share_is_rounded_to_all(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("left,right,same\n" + "x,accept,Y\n" * 4000 + "x,accept,N\n", encoding="utf-8")
    assert "| >99.9% (4000 of 4001) |" in markdown(measure(Obedient(), None, path))


def test_the_rules_let_nothing_through_on_the_labelled_suite(shared_data: Path) -> None:
    report = measure(build(RULES), shared_data / "verify_cases.jsonl").report
    assert report["n"] == report["n_should_accept"] + report["n_should_reject"] > 300
    let_through = [row["id"] for row in report["rows"] if not row["expected"] and (row["score"] or 0) >= 0.5]
    assert let_through == [] and report["false_accept"] == 0.0
    assert report["errors"] == report["timeouts"] == 0
    assert report["decided"] >= 0.9 and report["accuracy_decided"] >= 0.98 and report["false_reject"] <= 0.02


def test_the_rules_hold_on_medrls_own_cases() -> None:
    for name, least in (("development", 0.8), ("heldout", 0.7)):
        report = measure(build(RULES), Path(medrl.__file__).parent / "data" / "cases" / f"{name}.jsonl").report
        assert report["errors"] == report["timeouts"] == report["invalid"] == 0
        assert report["decided"] >= least and report["accuracy_decided"] >= 0.95, (name, report["decided"])


@pytest.mark.slow
def test_pairs_that_mean_the_same_are_found(shared_data: Path) -> None:
    report = measure(build(RULES), None, shared_data / "abbreviations.csv").report
    assert report["precision"] >= 0.99 and report["recall"] > 0.55
