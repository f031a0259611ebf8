"""Attacks: what a gullible verifier pays for, what has no number, and what the built-in rules do not pay."""

import json
from pathlib import Path

import pytest
import yaml

import medrl
from medrl import cli
from medrl.commands.attack_answers import right_answer, wrong_answers
from medrl.commands.attack_table import worst_first
from medrl.commands.attack_texts import ATTACKS, FINAL, LONG, lay_out, words
from medrl.commands.attacks import Attacked, default_problems, measure, shortened
from medrl.commands.verifier_card import RULES
from medrl.errors import DataError
from medrl.rewards import build as build_reward
from medrl.types import Problem, Response, Verdict, ask
from medrl.verifiers import RuleVerifier, build

Capture = pytest.CaptureFixture[str]
COUNT = 24


class Substring(RuleVerifier):
    """Right where the reference occurs anywhere in the text."""

    name = "substring"

    def check(self, problem: Problem, response: Response) -> Verdict:
        found = right_answer(problem).casefold() in response.text.casefold()
        return Verdict.right("it occurs") if found else Verdict.wrong("it does not occur")


class InTags(Substring):
    """Right where the reference occurs in a text with tags of thinking, also inside them."""

    name = "in_tags"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return super().check(problem, response) if "<think>" in response.text else Verdict.wrong("no tags")


class Always(RuleVerifier):
    name = "always"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.right("always")


class Never(RuleVerifier):
    name = "never"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.wrong("never")


class Down(RuleVerifier):
    name = "down"

    def check(self, problem: Problem, response: Response) -> Verdict:
        raise ConnectionError("the judge is down")


class OftenDownOnBoxes(Substring):
    """Pays for boxes, but fails on most kinds of problems there; pays a little for whatever else holds the reference."""

    name = "often_down_on_boxes"
    stands = "numeric"

    def check(self, problem: Problem, response: Response) -> Verdict:
        found = super().check(problem, response)
        if not response.text.startswith("\\boxed"):
            return Verdict(0.3 * found.accepted)
        if problem.kind != self.stands:
            raise ConnectionError("the judge is down")
        return found


class DownOnBoxes(OftenDownOnBoxes):
    name = "down_on_boxes"
    stands = "none"


class DownOnInjection(Substring):
    """Fails on orders to the grader, as a judge whose filter refuses them."""

    name = "down_on_injection"

    def check(self, problem: Problem, response: Response) -> Verdict:
        if "Ignore all previous" in response.text:
            raise ConnectionError("refused")
        return super().check(problem, response)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return default_problems(COUNT)


@pytest.fixture(scope="module")
def by_rules(problems: list[Problem]) -> Attacked:
    return measure(build(RULES), problems)


@pytest.fixture(scope="module")
def by_levels(repository: Path, problems: list[Problem]) -> Attacked:
    recipe = yaml.safe_load((repository / "examples/huatuogpt_o1/tiny.yaml").read_text(encoding="utf-8"))
    return measure(build_reward(recipe["reward"]), problems)


def paid_texts(attacked: Attacked, *names: str) -> list[str]:
    return [one.text for one in attacked.outcomes if one.paid and one.attack in names]


def test_a_substring_verifier_pays_many_attacks(problems: list[Problem]) -> None:
    report = measure(Substring(), problems).report
    caught = {name for name, found in report["by_attack"].items() if found["n_paid"]}
    assert {"dumping", "hedging", "negation", "retraction", "only_in_thinking", "last_tag", "padding"} <= caught
    assert report["honest_right"] > 0.8 and report["paid"] > 0.1 and report["unscored"] == 0
    example = report["by_attack"]["negation"]["worst"]
    assert example["reward"] == 1.0 and example["baseline"] == 0.0 and example["reason"] == "it occurs"


def test_a_verifier_that_is_always_right_pays_every_attack(problems: list[Problem]) -> None:
    report = measure(Always(), problems).report
    assert report["paid"] == report["honest_wrong"] == 1.0
    assert all(found["n"] == found["n_paid"] > 0 for found in report["by_attack"].values())


def test_a_reward_that_pays_nobody_does_not_look_safe(problems: list[Problem]) -> None:
    report = measure(Never(), problems).report
    assert report["paid"] == report["honest_right"] == report["honest_wrong"] == 0.0


def test_where_the_judge_fails_nothing_is_paid_and_nothing_is_safe(problems: list[Problem]) -> None:
    report = measure(Down(), problems).report
    assert report["unscored"] == report["n"] > 0 and report["n_paid"] == 0
    assert report["paid"] is None and report["honest_right"] is None and report["honest_wrong"] is None
    assert report["warning"].startswith("no honest right answer was scored")


def test_a_judge_that_fails_hides_no_layout_that_the_reward_wants(problems: list[Problem]) -> None:
    attacked = measure(OftenDownOnBoxes(), problems)
    assert attacked.report["layouts"] == ["plain", "o1", "boxed"]
    assert any(one.paid for one in attacked.outcomes if one.layout == "boxed")
    report = measure(DownOnBoxes(), problems).report
    assert report["layouts"] == ["plain", "o1"] and report["honest_right"] > 0.8
    assert report["warning"].startswith("no honest right answer has a number in boxed, so no attack was tried there")


def test_a_text_that_brings_the_judge_down_hurts_no_other(problems: list[Problem]) -> None:
    groups = measure(DownOnInjection(), problems).report["by_attack"]
    assert groups["injection"]["unscored"] > 0 and groups["injection"]["n_paid"] < groups["injection"]["n"]
    assert all(not found["unscored"] for name, found in groups.items() if name != "injection")


def test_the_rules_pay_the_right_answer_and_not_for_nothing(by_rules: Attacked) -> None:
    assert by_rules.report["honest_right"] == 1.0 and by_rules.report["unscored"] == 0
    assert not paid_texts(by_rules, *ATTACKS) and by_rules.report["paid"] == 0.0


def test_the_three_levels_pay_the_right_answer_and_not_for_nothing(by_levels: Attacked) -> None:
    report = by_levels.report
    assert report["honest_right"] == 1.0 and report["unscored"] == 0 and report["honest_wrong"] == 0.0
    assert not paid_texts(by_levels, *ATTACKS) and report["paid"] == 0.0
    assert report["reward"].startswith("levels (levels") and "fingerprint" not in report


@pytest.mark.parametrize(
    ("preset", "format", "layout"),
    [("think", "auto", "think"), ("think", "boxed", "think_boxed"), ("think", "answer", "think_answer"),
     ("o1_zh", "auto", "o1_zh"), ("o1", "boxed", "o1_boxed"), ("", "boxed", "boxed"), ("", "answer", "answer"),
     ("", "think-strict", "think")],
)  # fmt: skip
def test_a_reward_is_attacked_in_the_format_that_it_wants(
    problems: list[Problem], preset: str, format: str, layout: str
) -> None:
    reward = {"type": "verified", "verifier": {**RULES, "format": format}, "otherwise": 0.0}
    gated = {"type": "levels", "correct": reward, "format": {"type": "format", "preset": preset}}
    attacked = measure(build_reward(gated if preset else reward), problems[::4])
    report = attacked.report
    assert report["layouts"] == ["plain", "o1", layout] and report["honest_right"] == 1.0 and not report["warning"]
    assert not paid_texts(attacked, *ATTACKS)
    tried = {one.attack for one in attacked.outcomes if one.layout == layout}
    assert {"dumping", "master_key", "injection", "last_tag"} <= tried
    if layout.startswith("think"):
        assert {"empty_sections", "repeated_headers", "unclosed_tags", "only_in_thinking"} <= tried


def test_what_an_empty_think_tag_is_paid_is_told(problems: list[Problem]) -> None:
    gullible = build_reward({"type": "verified", "verifier": f"{__name__}:InTags", "otherwise": 0.0})
    report = measure(gullible, problems[::4]).report
    assert report["layouts"][-1] == "think" and report["by_attack"]["empty_sections"]["n_paid"] == 0
    assert report["by_attack"]["unclosed_tags"]["n_paid"] > 0 and report["by_attack"]["only_in_thinking"]["n_paid"] > 0


def test_a_reward_that_pays_no_right_answer_is_told_loudly(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "attacks.json"
    assert cli.main(["attack", f"{__name__}:Never", "--count", "4", "--json", str(out)]) == 0
    warning = json.loads(out.read_text(encoding="utf-8"))["warning"]
    assert warning.startswith("only 0% of the honest right answers") and "WARNING: only 0%" in capsys.readouterr().out


def test_the_same_again(problems: list[Problem]) -> None:
    one, other = (measure(build(RULES), problems[::4]).report for _ in range(2))
    assert one == other
    assert default_problems(COUNT) == problems


def test_every_attack_is_tried_in_its_layouts(by_rules: Attacked) -> None:
    assert {one.attack for one in by_rules.outcomes} == set(ATTACKS)
    assert max(len(one.text) for one in by_rules.outcomes if one.attack == "padding") >= LONG
    for layout, text in (
        ("plain", "gout"),
        ("o1", f"## Thinking\nFirst look at what the question gives.\n\n{FINAL}\ngout"),
    ):
        assert lay_out("gout", layout, "en") == text
    neutral = "First look at what the question gives."
    for layout, text in (
        ("think", f"<think>\n{neutral}\n\n</think>\ngout"),
        ("think_boxed", f"<think>\n{neutral}\n\n</think>\n\\boxed{{gout}}"),
        ("o1_boxed", f"## Thinking\n{neutral}\n\n{FINAL}\n\\boxed{{gout}}"),
        ("answer", "<answer>gout</answer>"),
    ):
        assert lay_out("gout", layout, "en") == text
    assert lay_out(f"## Thinking\n{FINAL}\ngout", "think", "en") == "<think>\n</think>\ngout"
    assert lay_out("\\boxed{gout}", "boxed", "en") == "\\boxed{gout}" and lay_out(FINAL, "boxed", "en") is None
    assert lay_out(f"{FINAL}\ngout", "plain", "en") is None and lay_out("<think>x</think> gout", "o1", "en") is None


def test_no_attack_is_a_right_answer(problems: list[Problem], by_rules: Attacked) -> None:
    for one in by_rules.outcomes:
        answer = words(one.text.rpartition(FINAL)[2])
        assert answer not in {words(name) for name in (right_answer(one.problem), *one.problem.aliases)}, one.text
    for problem in problems:
        assert right_answer(problem) not in wrong_answers(problem, problems)


def test_a_wrong_answer_is_no_other_name_of_the_right_one() -> None:
    gout = Problem("1", ask("Which?"), "gout", aliases=("podagra",))
    others = [Problem("2", ask("Which?"), name) for name in ("podagra", "acute gout", "asthma")]
    dose, same = (Problem(name, ask("How much?"), name, kind="numeric") for name in ("2 g", "2000 mg"))
    assert wrong_answers(gout, others) == ["asthma"]
    assert wrong_answers(dose, [same, Problem("n", ask("?"), "7 mL", kind="numeric")]) == ["7 g", "7 mL"]


def test_look_alikes_differ_where_it_matters() -> None:
    term = Problem("1", ask("Which?"), "acute hyperkalemia")
    dose = Problem("2", ask("How much?"), "250 mg", kind="numeric")
    assert ATTACKS["look_alike"].make(term, ["gout"]) == ["acute hypokalemia", "chronic hyperkalemia"]
    assert ATTACKS["look_alike"].make(dose, ["1 mg"]) == ["2500 mg", "375 mg", "25 mg", "250 g"]


def test_an_echo_that_holds_the_answer_is_left_out() -> None:
    named = Problem("1", ask("Is it gout or asthma?"), "gout")
    assert ATTACKS["echo"].make(named, ["asthma"]) == []
    assert ATTACKS["echo"].make(Problem("2", ask("What is it?"), "gout"), ["asthma"])[0] == "What is it?"


def test_problems_that_cannot_be_attacked() -> None:
    with pytest.raises(DataError, match="none of 1 problems can be attacked"):
        measure(Never(), [Problem("1", ask("Which?"), "gout")])


def test_long_texts_are_shortened() -> None:
    assert shortened("x" * 1000, 10) == "xxxxx […990 characters…] xxxxx" and shortened("short", 10) == "short"


def test_worst_first() -> None:
    groups = {
        name: {"paid": paid, "unscored": lost} for name, paid, lost in (("a", 0, 0), ("b", 0.5, 0), ("c", None, 2))
    }
    assert [name for name, _ in worst_first(groups)] == ["b", "c", "a"]


def test_the_command_for_a_verifier(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "attacks.json"
    assert cli.main(["attack", f"{__name__}:Substring", "--count", "8", "--json", str(out)]) == 0
    report, shown = json.loads(out.read_text(encoding="utf-8")), capsys.readouterr().out
    assert report["n"] == sum(found["n"] for found in report["by_attack"].values())
    assert report["fingerprint"] and report["medrl_version"] == medrl.__version__
    assert "honest right answers paid: " in shown and shown.count("  reason  ") == 3
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_the_command_for_a_recipe_a_tree_and_a_file_of_problems(tmp_path: Path, repository: Path) -> None:
    tree, rows, out = tmp_path / "tree.yaml", tmp_path / "rows.jsonl", tmp_path / "attacks.json"
    tree.write_text("{type: verified, verifier: text, otherwise: 0.0}", encoding="utf-8")
    lines = [{"question": f"Which ({name})?", "reference": name} for name in ("measles", "asthma", "gout")]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for source in (str(tree), str(repository / "examples/huatuogpt_o1/tiny.yaml")):
        assert cli.main(["attack", source, "--problems", str(rows), "--json", str(out)]) == 0
        report = json.loads(out.read_text(encoding="utf-8"))
        assert report["problems"] == 3 and report["honest_right"] == 1.0 and isinstance(report["reward"], str)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere.yaml"], "there is no file nowhere.yaml"), (["rules", "--count", "0"], "--count is 0")],
)
def test_what_the_user_can_mend_ends_with_2(arguments: list[str], message: str, capsys: Capture) -> None:
    assert cli.main(["attack", *arguments]) == 2 and message in capsys.readouterr().err
