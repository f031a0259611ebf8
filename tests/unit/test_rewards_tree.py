"""Reward trees by hand-computed values: sums, gates, levels, and what a failing judge does to each."""

import asyncio
import math
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from medrl.errors import RecipeError, RewardFailed
from medrl.rewards import (
    Format,
    Gate,
    Levels,
    Reward,
    RewardContext,
    Scores,
    Verified,
    WeightedSum,
    gated,
    levels,
    reward,
    verified_leaf,
)
from medrl.types import Group, Problem, Response, Score, Verdict, ask
from medrl.verifiers.protocol import RuleVerifier, Verifier

THINK, FINAL = "## Thinking\n\nLabs.\n\n", "## Final Response\n\n"


@dataclass(frozen=True)
class Says(RuleVerifier):
    """Judges by what the text asks for; keeps what it was asked."""

    name: ClassVar[str] = "says"
    seen: list[str] = field(default_factory=list, compare=False)

    @property
    def decides(self) -> bool:
        return True

    def check(self, problem: Problem, response: Response) -> Verdict:
        self.seen.append(response.text)
        word = response.text.split()[-1]
        if word == "crash":
            raise RuntimeError("judge is down")
        if word == "slow":
            raise TimeoutError("too slow")
        if word == "abstain":
            return Verdict.abstain("not mine")
        return Verdict(float(word))


class MayAbstain(Says):
    @property
    def decides(self) -> bool:
        return False


class Broken(Verifier):
    name = "broken"

    async def verify_batch(self, items: Sequence[tuple[Problem, Response]]) -> list[Verdict]:
        raise ConnectionError("refused")


@reward("length")
def length(problem: Problem, response: Response) -> float | None:
    return float(len(response.text))


@reward("odd")
def odd(problem: Problem, response: Response) -> float | None:
    word = response.text.split()[-1]
    if word == "none":
        return None
    return math.inf / 0 if word == "raise" else float(word)


def group(*texts: str, id: str = "p") -> Group:
    return Group(Problem(id, ask("?"), "x"), tuple(Response(text) for text in texts))


def form(word: str) -> str:
    return THINK + FINAL + word


def scores(tree: Reward, *texts: str) -> list[Score]:
    return tree.score_sync([group(*texts)])[0]


def values(tree: Reward, *texts: str) -> list[float | None]:
    return [score.value for score in scores(tree, *texts)]


def test_weighted_sum_by_hand_with_all_parts_by_name() -> None:
    tree = 0.9 * Verified(Says()) + 0.1 * Format("o1")
    assert values(tree, form("1.0"), form("0.5"), "1.0", form("0")) == pytest.approx([1.0, 0.55, 0.9, 0.1])
    score = scores(tree, form("0.5"))[0]
    assert {name: part.value for name, part in score.parts.items()} == pytest.approx(
        {"sum": 0.55, "correct": 0.5, "format": 1.0}
    )
    verdict = score.parts["correct"].verdict
    assert verdict is not None and verdict.score == 0.5 and verdict.stage == "says"


def test_a_failing_part_masks_the_rollout_and_no_other() -> None:
    tree = 0.9 * Verified(Says()) + 0.1 * Format("o1")
    good, failed, late = scores(tree, form("1"), form("crash"), form("slow"))
    assert good.value == pytest.approx(1.0)
    assert (failed.value, failed.status) == (None, "error")
    assert "correct: RuntimeError: judge is down" in failed.reason
    assert failed.parts["format"].value == 1.0 and failed.parts["correct"].value is None
    assert (late.value, late.status) == (None, "timeout")


def test_renormalise_rescales_the_other_weights() -> None:
    parts = (Verified(Says()), Format("o1"), length)
    tree = WeightedSum(parts, (0.6, 0.3, 0.1), missing="renormalise")
    text = form("abstain")
    # 0.3 and 0.1 share the whole weight of 1.0: 0.75 * 1.0 + 0.25 * length
    score = scores(tree, text)[0]
    assert score.value == pytest.approx(0.75 + 0.25 * len(text))
    assert "correct" in score.reason and score.parts["correct"].status == "abstain"
    failed = scores(tree, form("crash"))[0]
    assert (failed.value, failed.status) == (None, "error")  # it never pays to crash a judge
    alone = WeightedSum((Verified(Says()),), (1.0,), missing="renormalise")
    assert scores(alone, "crash")[0].status == "error"  # nothing is left to rescale


def test_raise_names_part_and_problem() -> None:
    tree = WeightedSum((Verified(Says()), Format()), (0.9, 0.1), missing="raise")
    with pytest.raises(RewardFailed, match=r"'correct'.*rollout 1 of problem 'p7'.*judge is down"):
        (tree * 1.0).score_sync([group(form("1"), form("crash"), id="p7")])


def test_a_part_of_weight_0_is_watched_but_never_masks() -> None:
    tree = Format() + 0.0 * Verified(Says())
    score = scores(tree, form("crash"))[0]
    assert score.value == 1.0 and score.parts["correct"].status == "error"


def test_negative_weights_and_operators() -> None:
    assert values(Format() + -0.001 * length, form("1")) == pytest.approx([1 - 0.001 * len(form("1"))])
    a, b, c = Verified(Says(), name="a"), Verified(Says(), name="b"), Verified(Says(), name="c")
    assert a + b + c == WeightedSum((a, b, c), (1.0, 1.0, 1.0))
    assert 2 * (0.5 * a + b) == WeightedSum((a, b), (1.0, 2.0))
    total: object = sum([a, b])
    assert total == a + b
    assert Format() * a == Gate(Format(), a)
    with pytest.raises(TypeError, match=r"Gate\(gate, then\)"):
        a * b
    with pytest.raises(TypeError):
        a + 1  # type: ignore[operator,unused-ignore]


def test_a_named_or_strict_sum_is_kept_whole_and_defaults_stay_unique() -> None:
    a, b, c = (Verified(Says(), name=name) for name in "abc")
    inner = WeightedSum((a, b), (1.0, 1.0), missing="renormalise")
    tree = inner + c
    assert [node.name for node in tree.walk()] == ["sum_2", "sum", "a", "b", "c"]
    assert tree.faults() == []
    assert values(tree, "0.5") == [1.5]


def test_gate_never_judges_what_it_closed() -> None:
    judge = Says()
    tree = Format() * (0.5 * Verified(judge))
    out = tree.score_sync([group("1", form("1")), group("0.2", "0.3"), group(form("0.4"), "1", form("crash"))])
    assert [[s.value for s in row] for row in out] == [[0.0, 0.5], [0.0, 0.0], [pytest.approx(0.2), 0.0, None]]
    assert judge.seen == [form("1"), form("0.4"), form("crash")]
    closed = out[0][0]
    assert set(closed.parts) == {"gate", "format", "sum", "correct"}
    assert closed.parts["correct"].value == 0.0 and closed.parts["correct"].reason.startswith("not judged")
    assert (closed.parts["sum"].value, closed.parts["sum"].status) == (None, "abstain")
    assert out[2][2].status == "error"
    assert values(gated("o1", judge, otherwise=-1.0), "1") == [-1.0]


def test_a_gate_without_a_number_leaves_none_and_judges_nobody() -> None:
    judge = Says()
    tree = Gate(Verified(Says(), name="safe"), Verified(judge))
    score = scores(tree, "crash")[0]
    assert (score.value, score.status, judge.seen) == (None, "error", [])
    assert (score.parts["correct"].value, score.parts["correct"].status) == (None, "abstain")
    assert values(tree, "0.5", "0.49") == [0.5, 0.0]


def test_levels_give_1_01_0_and_pass_a_failed_judge_through() -> None:
    judge = Says()
    tree = levels(judge)
    out = scores(tree, form("1"), form("0.5"), form("0.49"), "1", form("crash"), "crash", form("slow"))
    assert [score.value for score in out] == [1.0, 1.0, 0.1, 0.0, None, 0.0, None]
    assert [score.status for score in out] == ["ok", "ok", "ok", "ok", "error", "ok", "timeout"]
    assert judge.seen == [form(word) for word in ("1", "0.5", "0.49", "crash", "slow")]
    for malformed in (out[3], out[5]):
        assert malformed.parts["correct"].value == 0.0
        assert malformed.parts["correct"].verdict is None
        assert malformed.parts["correct"].reason.startswith("not judged: malformed")
    assert out[1].parts["correct"].value == 0.5 and out[1].parts["levels"].value == 1.0


def test_levels_with_other_values_a_threshold_and_without_format() -> None:
    tree = Levels(Verified(Says()), Format(), right=2.0, wrong=0.0, malformed=-1.0, threshold=0.4)
    assert values(tree, form("0.4"), form("0.39"), "1") == [2.0, 0.0, -1.0]
    assert values(Levels(Verified(Says())), "1", "0") == [1.0, 0.1]
    malformed = scores(Levels(WeightedSum((Verified(Says()), length), (1.0, 0.1)), Format()), "1")[0]
    assert malformed.parts["sum"].value == 0.0 and malformed.parts["length"].status == "abstain"
    with pytest.raises(RecipeError, match="paid for a worse response"):
        Levels(Verified(Says()), right=0.1, wrong=1.0)


def test_abstention_needs_otherwise_and_an_error_does_not_take_it() -> None:
    bare, stated = Verified(MayAbstain()), Verified(MayAbstain(), otherwise=0.25)
    score = scores(bare, "abstain")[0]
    assert (score.value, score.status) == (None, "abstain")
    assert values(stated, "abstain", "1", "crash") == [0.25, 1.0, None]
    assert values(Verified(MayAbstain(), otherwise=0.0), "abstain", "crash") == [0.0, None]
    for paid in (1.5, -0.1):
        with pytest.raises(RecipeError, match="must be from 0 to 1"):
            Verified(MayAbstain(), otherwise=paid)

    verdict = scores(stated, "abstain")[0].parts["correct"].verdict
    assert verdict is not None and verdict.status == "abstain"
    (fault,) = (Format() * bare).faults()
    assert fault.startswith("reward.then: ") and "'says' may abstain" in fault and "otherwise: 0.0" in fault
    assert stated.faults() == Verified(Says()).faults() == []


class NeverAnswers(Verifier):
    name = "never_answers"

    async def verify_batch(self, items: Sequence[tuple[Problem, Response]]) -> list[Verdict]:
        await asyncio.sleep(3600)
        raise AssertionError


def test_a_judge_that_does_not_answer_in_time_gives_no_number() -> None:
    (score,) = scores(Verified(NeverAnswers(), otherwise=0.0, timeout=0.01), "1")
    assert (score.value, score.status) == (None, "timeout") and "TimeoutError: no answer in time" in score.reason
    with pytest.raises(RecipeError, match="`timeout` is 0"):
        Verified(NeverAnswers(), timeout=0)


def test_a_broken_batch_is_an_error_of_every_item() -> None:
    out = scores(0.5 * Verified(Broken()) + 0.5 * Format(), form("1"), "x")
    assert [(s.value, s.status) for s in out] == [(None, "error")] * 2
    assert "correct: ConnectionError: refused" in out[0].reason


@dataclass(frozen=True)
class Wild(Reward):
    """A third party's node that does what it should not."""

    mode: str
    inner: Reward | None = None
    name: str = "wild"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        if self.mode == "raise":
            raise KeyError("gone")
        if self.mode == "short":
            return [[Score(1.0)] for _ in groups]
        if self.mode == "strange":
            return [[1.0] * len(g) for g in groups]  # type: ignore[list-item]
        context.state["wild"] = context.step
        return [[Score(1.0, token_values=(1.0, 2.0)) for _ in g.rollouts] for g in groups]


@pytest.mark.parametrize(("mode", "says"), [("raise", "gone"), ("short", "3"), ("strange", "not a Score")])
def test_a_misbehaving_node_is_an_error_with_every_part_present(mode: str, says: str) -> None:
    out = scores(Wild(mode, Verified(Says())) + 0.1 * Format(), "1", "2", "3")
    assert [s.status for s in out] == ["error"] * 3
    assert out[0].reason.startswith("wild: ") and says in out[0].reason
    assert set(out[0].parts) == {"sum", "wild", "correct", "format"}
    assert out[0].parts["correct"].status == "abstain"


def test_token_values_add_up_and_context_state_is_shared() -> None:
    context = RewardContext(step=3)
    tree = WeightedSum((Wild("ok", name="one"), Wild("ok", name="two"), Format()), (0.5, 2.0, 1.0))
    ((score,),) = tree.score_sync([group("x")], context)
    assert score.value == 2.5 and score.token_values == (2.5, 5.0)
    assert context.state == {"wild": 3}
    assert RewardContext().state == {}


def test_a_function_gives_numbers_none_and_named_errors() -> None:
    out = scores(odd, "2.5", "none", "raise", "nan", "inf", "word")
    assert [s.value for s in out] == [2.5, None, None, None, None, None]
    assert [s.status for s in out] == ["ok", "abstain", "error", "error", "error", "error"]
    assert "odd: ZeroDivisionError" in out[2].reason
    assert "invalid" in out[3].reason and "nan" in out[3].reason and "inf" in out[4].reason
    assert odd(Problem("p", ask("?")), Response("4")) == 4.0
    assert scores(0.5 * odd + 0.5 * Format(), form("none"))[0].status == "abstain"


def test_a_sum_that_overflows_is_an_error() -> None:
    score = scores(WeightedSum((odd,), (1e308,)), "10")[0]
    assert (score.value, score.status) == (None, "error")
    assert "invalid" in score.reason


def test_groups_together_equal_groups_alone_in_order() -> None:
    tree = 0.7 * levels(Says()) + -0.01 * length
    groups = [group(form("1"), "1", form("crash"), id="a"), group(id="b"), group("0", form("0.3"), form("0.9"), id="c")]
    assert tree.score_sync(groups) == [tree.score_sync([one])[0] for one in groups]
    assert [len(row) for row in tree.score_sync(groups)] == [3, 0, 3]
    assert tree.score_sync([]) == []


def test_it_works_inside_a_running_loop() -> None:
    tree = levels(Says())

    async def main() -> tuple[Scores, Scores]:
        return tree.score_sync([group(form("1"))]), await tree.score([group(form("1"))])

    facade, awaited = asyncio.run(main())
    assert facade == awaited and facade[0][0].value == 1.0


def test_duplicate_names_are_a_fault_that_names_both_places() -> None:
    tree = Gate(Format(), WeightedSum((Verified(Says()), length, Verified(Says())), (1.0, 0.1, 1.0)))
    (fault,) = tree.faults()
    assert fault.startswith("reward.then.parts[2]: the name 'correct' is taken by reward.then.parts[0]")


def test_constructors_report_all_their_faults_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        WeightedSum((Format(), Says()), (1.0, math.nan, 2.0), missing="ignore")  # type: ignore[arg-type]
    text = str(caught.value)
    assert all(word in text for word in ("weights[1]", "Verified(verifier)", "2 parts and 3 weights", "'ignore'"))
    (fault,) = (0.0 * Format()).faults()
    assert "other than 0" in fault


def test_trees_pickle_are_found_by_kind_and_describe_themselves() -> None:
    tree = 0.9 * levels(Says()) + 0.1 * length
    again = pickle.loads(pickle.dumps(tree))
    assert again == tree and again.score_sync([group(form("1"))]) == tree.score_sync([group(form("1"))])
    leaf = verified_leaf(tree)
    assert leaf is not None and leaf.name == "correct" and tree.first(Gate) is None
    assert verified_leaf(Format()) is None
    lines = tree.describe().splitlines()
    assert lines[0] == "sum (weighted_sum, weights [0.9, 0.1], missing mask)"
    assert lines[1].startswith("  parts[0]: levels (levels, right 1.0, wrong 0.1")
    assert lines[2] == "    correct: correct (verified, verifier says, otherwise None, timeout None)"
    assert lines[-1].startswith("  parts[1]: length (")


def test_a_function_inside_a_function_cannot_travel_and_says_so() -> None:
    @reward("local")
    def local(problem: Problem, response: Response) -> float:
        return 1.0

    assert values(local, "x") == [1.0]
    assert "local" in local.describe()
    with pytest.raises(RecipeError, match="top of a module"):
        pickle.dumps(local)


def test_import_brings_no_torch_and_the_bare_name_is_refused() -> None:
    code = "import sys, medrl.rewards; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    bare = subprocess.run([sys.executable, "-c", "import rewards"], capture_output=True, text=True, check=False)
    assert bare.returncode == 1
    assert "No module named 'rewards'" in bare.stderr or "import medrl.rewards" in bare.stderr
