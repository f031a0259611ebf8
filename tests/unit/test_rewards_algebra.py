"""The algebra of rewards by hand-computed values: who is asked, what is computed, and what a missing number does."""

import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from medrl.errors import RecipeError, RewardFailed
from medrl.rewards import (
    Anneal,
    Clip,
    Cosine,
    FirstDecided,
    Format,
    Gate,
    Levels,
    Maximum,
    Minimum,
    Normalise,
    Overlong,
    PerGroup,
    Product,
    Repetition,
    Reward,
    RewardContext,
    Scores,
    Truncation,
    Verified,
    Veto,
    VisibleLength,
    Vote,
    WeightedSum,
    Where,
    build,
    group_reward,
    reward,
    verified_leaf,
)
from medrl.rewards.comparing import compare
from medrl.rewards.safety import Confidence
from medrl.types import Group, Problem, Response, Score, ScoredGroup, Verdict, ask
from medrl.verifiers import Choice, RuleVerifier, SetOf, Text


@dataclass(frozen=True)
class Word(Reward):
    """Reads its number from the word at `place` of the text: "1", "abstain", "error", "timeout", "raise"."""

    place: int = 0
    name: str = "word"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[self._score(rollout.text.split()[self.place]) for rollout in group.rollouts] for group in groups]

    def _score(self, word: str) -> Score:
        if word in ("abstain", "error", "timeout"):
            return Score(None, word, reason=f"{self.name} said {word}")  # type: ignore[arg-type]
        return Score(float(word), reason=f"said {word}")


@dataclass(frozen=True)
class Tokens(Reward):
    name: str = "tokens"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        return [[Score(1.0, token_values=(0.25, 0.75)) for _ in group.rollouts] for group in groups]


@dataclass(frozen=True)
class Truth(RuleVerifier):
    """Accepts everything."""

    name: ClassVar[str] = "truth"

    @property
    def decides(self) -> bool:
        return True

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.right()


class Silent(RuleVerifier):
    """Abstains from everything."""

    name: ClassVar[str] = "silent"

    def check(self, problem: Problem, response: Response) -> Verdict:
        return Verdict.abstain("it is silent")


@reward("exclamations")
def exclamations(problem: Problem, response: Response) -> float | None:
    return float(response.text.count("!"))


@group_reward("novelty")
def novelty(problem: Problem, responses: Sequence[Response]) -> Sequence[float | None]:
    texts = [response.text for response in responses]
    if "few" in texts:
        return [0.0]
    return [None if text == "none" else 1.0 / texts.count(text) for text in texts]


A, B, C = Word(0, "a"), Word(1, "b"), Word(2, "c")


def group(*texts: str, **about: Any) -> Group:
    return Group(replace(Problem("p", ask("?"), "x"), **about), tuple(Response(text) for text in texts))


def scores(tree: Reward, *texts: str, context: RewardContext | None = None, **about: Any) -> list[Score]:
    return tree.score_sync([group(*texts, **about)], context)[0]


def values(tree: Reward, *texts: str, context: RewardContext | None = None, **about: Any) -> list[float | None]:
    return [score.value for score in scores(tree, *texts, context=context, **about)]


def statuses(tree: Reward, *texts: str) -> list[str]:
    return [score.status for score in scores(tree, *texts)]


def test_product_min_and_max_by_hand() -> None:
    texts = ("0.5 0.4 1", "0 0.4 1")
    assert values(Product((A, B, C)), *texts) == pytest.approx([0.2, 0.0])
    assert values(Minimum((A, B, C)), *texts) == [0.4, 0.0]
    assert values(Maximum((A, B, C)), *texts) == [1.0, 1.0]
    assert scores(Minimum((A, B)), "0.5 0.4")[0].reason == "b: said 0.4"


@pytest.mark.parametrize("kind", [Product, Minimum, Maximum, Vote])
def test_a_failed_part_always_masks_and_an_abstaining_one_where_told(kind: Any) -> None:
    texts = ("0.5 0.5 abstain", "0.5 0.5 error", "0.5 0.5 timeout", "abstain abstain abstain")
    masked = ["abstain", "error", "timeout", "abstain"]
    assert statuses(kind((A, B, C)), *texts) == masked
    assert statuses(kind((A, B, C), missing="renormalise"), *texts) == ["ok", *masked[1:]]
    with pytest.raises(RewardFailed, match=r"'c' has no number for rollout 0 of problem 'p'.*set missing: mask in"):
        values(kind((A, B, C), missing="raise"), *texts)


def test_leaving_a_factor_out_is_no_gain() -> None:
    tree = Product((A, B), missing="renormalise")
    assert values(tree, "0.9 abstain", "0.9 0.9") == pytest.approx([0.81, 0.81])
    assert "without b: b said abstain" in scores(tree, "0.9 abstain")[0].reason


def test_a_product_of_penalties_is_an_error_and_not_a_reward() -> None:
    below, fine = scores(Product((A, B)), "-1 -1", "0.5 0.5")
    assert (below.status, fine.value) == ("error", 0.25)
    assert "part 'a' is -1" in below.reason and below.parts["b"].value == -1.0


def test_votes() -> None:
    three = Vote((A, B, C))
    assert values(three, "1 1 0", "0.4 0.5 0.49", "0.9 0.6 0.1") == [1.0, 0.0, 1.0]
    assert scores(three, "1 1 0")[0].reason == "2 of 3 say yes"
    two = Vote((A, B, C), missing="renormalise")
    assert values(two, "1 1 abstain", "1 0 abstain", "1 abstain abstain") == [1.0, None, None]
    assert [s.reason for s in scores(two, "1 0 abstain", "1 abstain abstain")] == [
        "vote: 1 of 2 say yes, which is even; without c: c said abstain",
        "vote: 1 of 1 say yes, fewer votes than the quorum; without b, c: b said abstain",
    ]
    assert values(replace(two, quorum=1), "1 abstain abstain") == [1.0]
    assert "even" in Vote((A, B)).faults()[0] and three.faults() == []


def test_first_decided_asks_the_next_only_about_what_is_open() -> None:
    asked: list[list[str]] = []

    @dataclass(frozen=True)
    class Second(Word):
        async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
            asked.append([rollout.text for group in groups for rollout in group.rollouts])
            return await super().assess(groups, context)

    tree = FirstDecided((A, Second(1, "second")))
    out = scores(tree, "1 0", "abstain 0.3", "error 1", "abstain abstain", "timeout 1")
    assert [s.value for s in out] == [1.0, 0.3, None, None, None]
    assert [s.status for s in out] == ["ok", "ok", "error", "abstain", "timeout"]
    assert asked == [["abstain 0.3", "abstain abstain"]]
    assert out[1].parts["a"].status == "abstain" and out[0].parts["second"].reason.startswith("not judged")

    stand_in = FirstDecided((A, B), on_failure="next")
    assert values(stand_in, "error 1", "timeout 0.2", "0.5 1") == [1.0, 0.2, 0.5]
    lost = scores(stand_in, "error abstain")[0]
    assert (lost.status, lost.reason) == ("error", "a said error")  # the failure stays told


def test_where_looks_at_the_problem_only() -> None:
    tree = Where({"kind": ["choice", "numeric"], "metadata.topic": "renal"}, A, B)
    renal = {"metadata": {"topic": "renal"}}
    assert values(tree, "1 0", kind="choice", **renal) == [1.0]
    assert values(tree, "1 0", kind="open", **renal) == [0.0]
    assert values(tree, "1 0", kind="choice") == [0.0]
    out = tree.score_sync([group("1 0", kind="choice", **renal), group("1 0.5", "abstain 0")])
    assert [[s.value for s in row] for row in out] == [[1.0], [0.5, 0.0]]
    assert out[0][0].parts["b"].reason.startswith("not judged")
    only = Where({"language": "zh"}, A)
    assert scores(only, "1")[0].status == "abstain" and values(only, "1", language="zh") == [1.0]
    assert "give `otherwise`" in only.faults()[0]
    assert FirstDecided((only, B)).faults() == [] and FirstDecided((B, only)).faults() != []


def test_accuracy_is_that_of_the_node_that_chooses_among_verifiers() -> None:
    mcq, free = Verified(Choice(), name="mcq"), Verified(Text(), name="free", otherwise=0.0)
    routed = Where({"kind": "choice"}, mcq, free)
    assert verified_leaf(0.9 * routed + 0.1 * Format()) is routed
    tree = FirstDecided((free, mcq))
    assert verified_leaf(tree) is tree and verified_leaf(FirstDecided((Format(), free))) is free
    for one in (routed, tree):
        score = scores(one, "x", "y")[0]
        part = score.parts[one.name]
        assert (part.value, part.verdict) == (1.0, score.parts["free"].verdict) and part.verdict is not None
    lost = scores(FirstDecided((A, B), on_failure="next"), "error abstain")[0]
    assert lost.parts["first_decided"].status == "error"


def listed(name: str = "listed") -> Verified:
    return Verified(SetOf(partial=True), name, otherwise=0.0)


def any_choice(first: Reward, second: Reward) -> Reward:
    return FirstDecided((Where({"kind": "choice"}, first), second))


@pytest.mark.parametrize(
    "correct",
    [
        listed(),
        any_choice(C, listed()),
        0.9 * listed() + 0.1 * exclamations,
        Maximum((listed(), exclamations)),
        Minimum((listed(), Verified(Truth(), "judge"))),
        Clip(listed(), high=0.9),
        Vote((listed(), listed("again"), Verified(Truth(), "judge"))),
    ],
)
def test_part_of_a_list_is_no_right_answer_to_whoever_pays_for_right_ones(correct: Reward) -> None:
    about = {"messages": ask("Name the triad."), "reference": "fever; jaundice; abdominal pain"}
    part, whole = "fever, jaundice", "fever, jaundice, abdominal pain"
    half, full = scores(correct, part, whole, **about)
    assert full.value is not None and full.value >= 0.5 and correct.says_right(full) and not correct.says_right(half)
    assert values(Levels(correct), part, whole, **about) == [0.1, 1.0]
    assert values(Cosine(correct, 9, unit="words", right_long=1.0), part, whole, **about) == [0.0, 1.0]
    assert values(Confidence(correct), part, whole, **about) == pytest.approx([1 - 0.93**2, 1 - 0.07**2])
    assert values(Gate(correct, Truncation()), part, whole, **about) == [0.0, 1.0]


def test_part_of_a_list_does_not_undo_a_judge_that_accepts() -> None:
    about = {"messages": ask("Name the triad."), "reference": "fever; jaundice; abdominal pain"}
    judges = Verified(Truth(), "judge"), Verified(Truth(), "other")
    silent = Minimum(
        (listed("left open"), Verified(Silent(), "silent"))
    )  # has no number, and a partial verdict below it
    trees = (
        Maximum((listed(), *judges)),
        Vote((listed(), *judges)),
        judges[0] + 0.0 * listed(),
        FirstDecided((silent, judges[0])),
    )
    for tree in trees:
        assert values(Levels(tree), "fever, jaundice", **about) == [1.0]


def test_what_may_stay_undecided_is_a_fault_unless_a_parent_settles_it() -> None:
    open_leaf, form = Verified(Text()), Format("o1")
    assert len(open_leaf.faults()) == 1
    assert len(FirstDecided((open_leaf, Verified(Text(), name="last"))).faults()) == 1  # the last one
    assert FirstDecided((form * open_leaf, form)).undecided() == []
    assert WeightedSum((open_leaf, form), (0.9, 0.1), missing="renormalise").faults() == []
    assert len(WeightedSum((open_leaf,), (1.0,), missing="renormalise").faults()) == 1
    assert len(WeightedSum((open_leaf, form), (0.9, 0.1)).faults()) == 1
    assert (form + 0.0 * open_leaf).faults() == []  # it is watched, and never masks


def test_clip_bounds_and_passes_missing_numbers_on() -> None:
    tree = Clip(A, low=-1.0, high=0.5)
    assert values(tree, "-3", "0.2", "2", "error") == [-1.0, 0.2, 0.5, None]
    assert statuses(tree, "error", "abstain") == ["error", "abstain"]
    assert values(Clip(A, high=0.5), "-3", "2") == [-3.0, 0.5]
    for knobs, said in (({}, "neither"), ({"low": 1.0, "high": 1.0}, "not below"), ({"low": math.nan}, "finite")):
        with pytest.raises(RecipeError, match=said):
            Clip(A, **knobs)


def test_only_linear_nodes_pass_values_of_tokens_on() -> None:
    assert scores(0.5 * Tokens(), "x")[0].token_values == (0.125, 0.375)
    halved = scores(Anneal(Tokens(), end=0.0, until=10), "x", context=RewardContext(step=5))[0]
    assert (halved.value, halved.token_values) == (0.5, (0.125, 0.375))
    for tree in (Clip(Tokens(), low=0.0), Product((Tokens(),)), Normalise(Tokens()), PerGroup(Tokens())):
        lost = scores(tree, "x")[0]
        assert lost.status == "error" and "values of single tokens" in lost.reason


def test_anneal_by_step() -> None:
    linear = Anneal(A, start=1.0, end=0.2, since=10, until=20)
    assert [linear.weight(step) for step in (0, 10, 15, 20, 99)] == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])
    cosine = replace(linear, shape="cosine")
    assert [cosine.weight(step) for step in (10, 12, 15, 20)] == pytest.approx([1.0, 0.9236067977, 0.6, 0.2])
    step = replace(linear, shape="step")
    assert [step.weight(n) for n in (10, 19, 20, 21)] == pytest.approx([1.0, 1.0, 0.2, 0.2])
    assert values(linear, "2", "error", context=RewardContext(step=15)) == [pytest.approx(1.2), None]
    assert "0.6 of it at step 15" in scores(linear, "2", context=RewardContext(step=15))[0].reason
    with pytest.raises(RecipeError, match="in this order"):
        Anneal(A, end=0.0, until=5, since=5)


def step_of(tree: Reward, state: dict[str, Any], *texts: str) -> list[float | None]:
    """One training step: scored by the state before it, learnt from after it."""
    scored = scores(tree, *texts, context=RewardContext(state=state))
    tree.learn([ScoredGroup(group(*texts), tuple(scored))], state)
    return [score.value for score in scored]


def test_normalise_by_the_steps_before() -> None:
    tree, state = Normalise(A, mean=1.0, std=2.0), {}
    assert step_of(tree, state, "1", "5", "error") == [0.0, 2.0, None]
    assert state["normalise"] == {"count": 2.0, "mean": 3.0, "squares": 8.0}
    assert step_of(tree, state, "3", "7") == pytest.approx([0.0, 2.0])  # by mean 3, std 2
    whole = [1.0, 5.0, 3.0, 7.0]
    mean = sum(whole) / 4
    std = math.sqrt(sum((v - mean) ** 2 for v in whole) / 4)
    assert tree.scale(state) == pytest.approx((mean, std))
    assert step_of(tree, state, "1000") == [5.0]  # kept within the limit


def test_normalise_forgets_as_told_and_a_scored_step_changes_nothing() -> None:
    tree, state = Normalise(A, memory=0.5), {}
    for texts in (("0", "0"), ("4", "4")):
        step_of(tree, state, *texts)
    # weights 0.5 on each of the first step's two values, 1 on each of the second's
    assert state["normalise"]["count"] == 3.0 and state["normalise"]["mean"] == pytest.approx(8 / 3)
    assert tree.scale(state)[1] == pytest.approx(math.sqrt((1 * (8 / 3) ** 2 + 2 * (4 / 3) ** 2) / 3))
    before = repr(state)
    scores(tree, "1", "2", context=RewardContext(state=state))
    assert repr(state) == before
    assert step_of(tree, state, "error") == [None] and repr(state) == before


def test_per_group_compares_what_has_a_number() -> None:
    texts = ("1", "3", "2", "error")
    assert values(PerGroup(A, "centre"), *texts) == [-1.0, 1.0, 0.0, None]
    deviation = math.sqrt(2 / 3)
    assert values(PerGroup(A, "standardise"), *texts) == pytest.approx([-1 / deviation, 1 / deviation, 0.0, None])
    assert values(PerGroup(A, "rank"), *texts) == [0.0, 1.0, 0.5, None]
    assert values(PerGroup(A, "best"), *texts) == [0.0, 1.0, 0.0, None]
    assert compare([1.0, 1.0, 3.0], "rank") == [0.25, 0.25, 1.0]
    assert compare([0.1 + 0.2, 0.3], "standardise") == [0.0, 0.0]  # rounding is no difference
    assert compare([7.0], "rank") == [0.5] and compare([7.0], "centre") == [0.0] and compare([], "best") == []


def test_functions_over_a_group() -> None:
    assert values(novelty, "x", "x", "y", "none") == [0.5, 0.5, 1.0, None]
    assert statuses(novelty, "few", "x") == ["error", "error"]
    aborted = Group(Problem("p", ask("?")), (Response("x"), Response("x", finish_reason="abort")))
    whole, cut = novelty.score_sync([aborted])[0]
    assert (whole.value, cut.status) == (1.0, "error")
    assert novelty.compares and not A.compares
    assert pickle.loads(pickle.dumps(novelty)) is novelty


def test_abstaining_never_pays() -> None:
    penalised = WeightedSum((A, B), (1.0, -0.5), missing="renormalise")
    assert "a penalty that abstains would pay" in penalised.faults()[0]
    assert not WeightedSum((A, B), (1.0, -0.5)).faults()
    tokens, counted = (
        Overlong(max_length=100, buffer=10),
        Overlong(max_length=100, buffer=10, unit="words", name="words"),
    )
    ends = Truncation()
    nested = WeightedSum((Verified(Text(), name="open"),), (-1.0,), name="minus")
    pays = [
        tokens,
        nested,
        Gate(ends, tokens),
        FirstDecided((tokens, nested)),
        Minimum((ends, tokens)),
        Clip(A, high=0.0),
    ]
    for penalty in pays:
        fault = WeightedSum((Format(), penalty), (1.0, 1.0), missing="renormalise").own_faults()
        assert len(fault) == 1 and f"a penalty that abstains would pay ({penalty.name!r})" in fault[0]
        assert not WeightedSum((Format(), penalty), (1.0, 0.0), missing="renormalise").own_faults()  # only watched
        assert not WeightedSum((Format(), penalty), (1.0, 1.0)).own_faults()
    for sound in (
        counted,
        Repetition(),
        VisibleLength(),
        A,
        Gate(ends, tokens, 0.5),
        Maximum((ends, tokens)),
        Anneal(A, 0.0, 9),
    ):
        assert not WeightedSum((Format(), sound), (1.0, 1.0), missing="renormalise").own_faults()
    assert "might be the smallest" in Minimum((A, B), missing="renormalise").faults()[0]
    undecided = Verified(Text(), name="open")
    three = Vote((undecided, Format("o1"), Format("think", "f2")), missing="renormalise")
    assert len(three.faults()) == 1  # without it two votes may be even


def test_nodes_tell_between_which_values_they_lie() -> None:
    ends, soft = Truncation(), Overlong(max_length=100, buffer=10)
    known: list[tuple[Reward, tuple[float, float]]] = [
        (soft, (-1.0, 0.0)), (VisibleLength(factor=2.0), (-2.0, 0.0)), (A, (-math.inf, math.inf)),
        (2 * ends + 3 * soft, (-3.0, 2.0)), (ends - Format(), (-1.0, 1.0)), (0 * A + ends, (0.0, 1.0)),
        (WeightedSum((ends, soft), (1.0, 3.0), missing="renormalise"), (-4.0, 4.0)),
        (Product((ends, Format())), (0.0, math.inf)), (Minimum((ends, soft)), (-1.0, 0.0)),
        (Maximum((ends, soft)), (-1.0, 1.0)), (Clip(A, low=0.0), (0.0, math.inf)), (Clip(soft, low=-0.5), (-0.5, 0.0)),
        (Anneal(ends, -1.0, 9), (-1.0, 1.0)), (Normalise(A, limit=2.0), (-2.0, 2.0)), (Gate(ends, soft, 0.5), (-1.0, 0.5)),
        (Levels(ends, Format(), malformed=-1.0), (-1.0, 1.0)), (Levels(ends), (0.1, 1.0)),
        (FirstDecided((ends, soft)), (-1.0, 1.0)), (Where({"kind": "open"}, soft), (-1.0, 0.0)),
        (Veto(soft, A, -0.5), (-0.5, math.inf)),
    ]  # fmt: skip
    for node, wanted in known:
        assert node.bounds() == wanted, node.describe()


def test_a_number_too_large_costs_its_own_rollout_or_group_and_nothing_more() -> None:
    tree = Product((A, B), missing="renormalise")
    assert [s.status for s in scores(tree, "1e300 abstain", "0.5 0.5")] == ["error", "ok"]
    compared = PerGroup(A).score_sync([group("1e200", "-1e200"), group("1", "3")])
    assert [s.status for s in compared[0]] in (["error"] * 2, ["ok"] * 2) and [s.value for s in compared[1]] == [
        -1.0,
        1.0,
    ]
    state: dict[str, Any] = {}
    step_of(Normalise(A), state, "1e200", "-1e200")
    assert state == {}


def test_normalise_learns_from_what_it_scored_only() -> None:
    tree = Format("o1") * Normalise(Verified(Text()))
    texts = ("## Thinking\n\nx\n\n## Final Response\n\nx", "y", "z")
    state: dict[str, Any] = {}
    step_of(tree, state, *texts)
    assert state["normalise"]["count"] == 1.0 and state["normalise"]["mean"] == 1.0


def test_a_faded_hint_asks_nobody() -> None:
    gone = scores(Anneal(A, end=0.0, until=10), "error", context=RewardContext(step=10))[0]
    assert (gone.value, gone.parts["a"].status) == (0.0, "abstain") and "not judged" in gone.parts["a"].reason


def test_a_missing_metadata_matches_nothing() -> None:
    tree = Where({"metadata.stage": [None, "I"]}, A, B)
    assert values(tree, "1 0") == [0.0] and values(tree, "1 0", metadata={"stage": None}) == [1.0]
    with pytest.raises(RecipeError, match="an id is text"):
        Where({"id": 1}, A)


def test_operators() -> None:
    assert WeightedSum((A, B), (1.0, -2.0)) == A - 2 * B
    assert WeightedSum((A,), (-1.0,)) == -A
    with pytest.raises(TypeError):
        A - 1  # type: ignore[operator]


TREE = {
    "type": "clip",
    "low": -1.0,
    "of": {
        "type": "weighted_sum",
        "weights": [1.0, -0.1, 0.2],
        "parts": [
            {
                "type": "first_decided",
                "parts": [
                    {
                        "type": "where",
                        "problem": {"kind": "choice"},
                        "then": {"type": "verified", "verifier": "choice", "name": "mcq"},
                    },
                    {"type": "verified", "verifier": "text", "otherwise": 0.0},
                ],
            },
            {"type": "anneal", "end": 0.0, "until": 100, "of": f"{__name__}:exclamations"},
            {"type": "normalise", "of": {"type": "per_group", "how": "rank", "of": f"{__name__}:novelty"}},
        ],
    },
}  # fmt: skip


def test_every_node_goes_to_yaml_and_back() -> None:
    others = {
        "type": "product",
        "parts": [
            {"type": "min", "parts": ["format", {"type": "format", "preset": "think", "name": "f2"}]},
            {"type": "max", "parts": [{"type": "format", "name": "f3"}]},
            {"type": "vote", "parts": [{"type": "format", "name": "f4"}]},
        ],
    }
    for config in (TREE, others):
        tree = build(config)
        assert tree.faults() == [] and build(tree.to_config()) == tree
        assert pickle.loads(pickle.dumps(tree)) == tree


def test_faults_of_nodes_are_told_all_at_once() -> None:
    bad = {
        "type": "first_decided",
        "on_failure": "skip",
        "parts": [
            {"type": "where", "problem": {"kind": "choise", "lang": "en"}, "then": "format"},
            {"type": "vote", "parts": [], "quorum": 2, "name": "v"},
            {"type": "per_group", "how": "mean", "of": {"type": "format", "name": "f"}},
            {"type": "normalise", "std": 0, "memory": 2, "of": {"type": "format", "name": "g"}},
        ],
    }
    with pytest.raises(RecipeError) as told:
        build(bad)
    text = str(told.value)
    for said in ("'skip'", "'choise'", "'lang'", "is empty", "'mean'", "`std` must be above 0", "`memory` is above 1"):
        assert said in text, said


def test_seconds_are_kept_by_node() -> None:
    context = RewardContext()
    scores(Clip(A, low=0.0), "1", "2", context=context)
    whole, inner = context.seconds["reward/clip"], context.seconds["reward/a"]
    assert len(context.seconds) == 2 and whole >= inner > 0
