"""A teacher that takes a place in a group while it is better, and retires: OnePO's loss, the seats, and whole runs."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medrl.algorithms import DAPO, Batch, OnePO, importance_weights
from medrl.algorithms.kl import mean_kl
from medrl.chat.base import ChatClient, ChatReply, ChatRequest, ChatUnavailable
from medrl.engines import Sampling
from medrl.errors import ProblemError, RecipeError
from medrl.learners import Optimization
from medrl.models import Policy
from medrl.recipes.load import read_recipe, to_yaml
from medrl.rewards import PerGroup, Reward, RewardContext, Scores, Verified
from medrl.rollouts import Classroom, Ordered, Teacher, believable, policy_written
from medrl.tracking import RunFolder, timeless
from medrl.trainers import Trainer, TrainerSettings
from medrl.trainers.checkpoints import latest_step, set_state
from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask
from medrl.verifiers.protocol import verifier

MakePolicy = Callable[..., Policy]
CACHED = Teacher()
TAUGHT = {"teacher_response": "gout"}
PROBLEMS = [Problem(f"p{i}", ask(text), metadata=TAUGHT) for i, text in enumerate(("fever", "cough", "knee", "toe"))]


@verifier("says_gout")
def says_gout(problem: Problem, text: str) -> bool:
    return text.startswith("gout")


@dataclass(frozen=True)
class Listed(Reward):
    """What each text is worth; no number for a text that is not listed."""

    worth: tuple[tuple[str, float], ...]
    name: str = "listed"

    async def assess(self, groups: Sequence[Group], context: RewardContext) -> Scores:
        known = dict(self.worth)
        down = Score(None, "error", reason="the judge is down")
        return [[Score(known[r.text]) if r.text in known else down for r in g.rollouts] for g in groups]


class Pupil(ChatClient):
    """A model that answers "gout", after it failed `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.asked = failures, 0

    @property
    def model(self) -> str:
        return "pupil"

    def fingerprint(self) -> str:
        return "0" * 16

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        if self.asked <= self.failures:
            raise ChatUnavailable("overloaded")
        return ChatReply("gout", "pupil")


def group(*values: float | None, problem: Problem = PROBLEMS[0], seed: int = 7) -> ScoredGroup:
    """Rollouts of two tokens with these scores."""
    rollouts = tuple(
        Rollout("ab", (), "stop", 2, problem.id, i, seed + i, (5, 6), (7, 8), (-1.0, -2.0), (True, True))
        for i in range(len(values))
    )
    scores = tuple(Score(None, "error") if value is None else Score(value) for value in values)
    return ScoredGroup(Group(problem, rollouts), scores)


def joined(classroom: Classroom, scored: ScoredGroup, worth: float | None) -> ScoredGroup:
    """The group after a teacher whose answer is worth so much."""
    reward = Listed((("gout", worth),) if worth is not None else ())
    return asyncio.run(classroom.join(scored, reward, RewardContext()))


@pytest.fixture
def classroom(make_policy: MakePolicy) -> Classroom:
    return Classroom(Teacher(), make_policy(), PROBLEMS, 8)


# The loss


def taught_batch(old: Sequence[float], advantages: Sequence[float], taught: Sequence[bool]) -> Batch:
    """One row of a token of prompt and tokens with these old log-probabilities."""
    width = len(old) + 1
    row = Batch(
        torch.zeros(1, width, dtype=torch.long),
        torch.tensor([width]),
        torch.tensor([1]),
        torch.tensor([[False, *[True] * len(old)]]),
        torch.zeros(1),
        group_size=1,
        max_response_tokens=len(old),
    )
    return row.with_(
        old_logprobs_BT=torch.tensor([[0.0, *old]]),
        advantages_BT=torch.tensor([[0.0, *advantages]]),
        teacher_mask_BT=torch.tensor([[False, *taught]]),
    )


def test_an_unlikely_good_token_of_the_teacher_is_learnt_as_in_fine_tuning() -> None:
    """d loss / d log pi is -A however small pi is, until pi has passed the floor; all other tokens are DAPO's."""
    log = math.log
    #        unlikely    at 1e-40     learnt      likely    unlikely, bad  the policy's own
    old = [log(1e-3), -92.0, log(0.05), log(0.5), log(1e-3), log(1e-3)]
    new = [log(2e-3), -92.0, log(0.2), log(0.55), log(1e-3), log(1.1e-3)]
    advantages = [2.0, 1.0, 1.0, 1.0, -1.0, 1.0]
    batch = taught_batch(old, advantages, [True] * 5 + [False])
    logprobs_BT = torch.tensor([[0.0, *new]], requires_grad=True)
    loss_BT, clipped_BT = OnePO().surrogate(logprobs_BT, batch)
    loss_BT.sum().backward()
    assert logprobs_BT.grad is not None and bool(torch.isfinite(loss_BT).all())
    slope = logprobs_BT.grad[0, 1:].tolist()
    assert slope[0] == pytest.approx(-2.0, rel=1e-4)
    assert -1.0 <= slope[1] < 0.0  # finite where exp of either side would not be
    assert slope[2] == 0.0 and bool(clipped_BT[0, 3])  # 0.2 is above 1.28 * 0.1
    plain = torch.tensor([[0.0, *new]], requires_grad=True)
    DAPO().surrogate(plain, batch)[0].sum().backward()
    assert plain.grad is not None
    assert slope[3] == plain.grad[0, 4] == pytest.approx(-1.1)
    assert slope[5] == plain.grad[0, 6] == pytest.approx(-1.1)
    # min(ratio * A, clip(ratio) * A) of A below 0 at ratio 0.01 is clipped: no push down on what is unlikely already
    assert slope[4] == 0.0


def test_without_a_teacher_onepo_is_dapo(make_policy: MakePolicy, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(make_policy(), [1.0, 0.0, 0.5, 0.0], 4)
    assert batch.teacher_mask_BT is None
    old_BT = batch.rollout_logprobs_BT
    assert old_BT is not None
    batch = batch.with_(old_logprobs_BT=old_BT - 0.3, advantages_BT=torch.ones_like(old_BT))
    for one, other in zip(OnePO().surrogate(old_BT, batch), DAPO().surrogate(old_BT, batch), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="teacher_floor is 1"):
        OnePO(teacher_floor=1.0)


def test_a_batch_knows_its_teachers_tokens_and_corrects_nothing_there(classroom: Classroom) -> None:
    scored = joined(classroom, group(0.0, 0.2), 1.0)
    batch = Batch.from_groups([scored], 8)
    place = next(i for i, r in enumerate(scored.group.rollouts) if getattr(r, "source", "") == "teacher")
    assert batch.teacher_mask_BT is not None and batch.rollout_logprobs_BT is not None
    assert batch.teacher_mask_BT.sum(-1).tolist()[1 - place] == 0
    assert torch.equal(batch.teacher_mask_BT[place], batch.loss_mask_BT[place])
    assert batch.rows([place]).teacher_mask_BT is not None
    batch = batch.with_(old_logprobs_BT=batch.rollout_logprobs_BT - 0.5)
    for kind in ("token", "sequence"):
        weights_BT, _ = importance_weights(batch, kind, 2.0)  # type: ignore[arg-type]
        assert set(weights_BT[place][batch.loss_mask_BT[place]].tolist()) == {1.0}, "nobody drew them"
        assert all(w < 1 for w in weights_BT[1 - place][batch.loss_mask_BT[1 - place]].tolist())


# The seats


def test_only_a_teacher_that_is_strictly_better_takes_a_place(classroom: Classroom) -> None:
    scored = joined(classroom, group(0.0, 0.4, None, 0.2), 0.5)
    (place,) = [i for i, r in enumerate(scored.group.rollouts) if getattr(r, "source", "") == "teacher"]
    answer = scored.group.rollouts[place]
    assert isinstance(answer, Rollout)
    assert (answer.text, answer.index, answer.prompt_ids, answer.versions) == ("gout", place, (5, 6), ())
    assert answer.token_ids[-1] == classroom.policy.end_id and scored.scores[place].value == 0.5
    assert [len(g.group) for g in policy_written([scored])] == [3]
    figures = classroom.learn([scored])
    assert figures == {
        "teacher/retirement": 0.0, "teacher/seated": 1.0, "teacher/failed": 0.0, "teacher/retired_problems": 0.0
    }  # fmt: skip
    equal = joined(classroom, group(0.0, 0.5), 0.5)
    assert [r.text for r in equal.group.rollouts] == ["ab", "ab"]
    assert equal.teacher is not None and equal.teacher.value == 0.5
    assert classroom.state["retired"] == [], "a step retires, not a group: what is scored first must not matter"
    assert classroom.learn([equal])["teacher/retirement"] == 1.0 and classroom.state["retired"] == ["p0"]
    again = joined(classroom, group(0.0, 0.1), 1.0)
    assert again.teacher is None and classroom.learn([again])["teacher/retirement"] == 1.0, "for good"
    other = joined(classroom, group(0.0, 0.1, problem=PROBLEMS[1]), 1.0)
    assert other.teacher is not None, "for that problem alone"


def test_a_place_is_drawn_evenly_and_the_same_in_a_run_that_is_gone_on_with(classroom: Classroom) -> None:
    def place(seed: int) -> int:
        scored = joined(classroom, group(0.0, 0.0, 0.0, 0.0, seed=seed), 1.0)
        return [getattr(r, "source", "") for r in scored.group.rollouts].index("teacher")

    drawn = [place(10 * seed) for seed in range(200)]
    assert drawn == [place(10 * seed) for seed in range(200)]
    assert all(30 <= drawn.count(i) <= 70 for i in range(4)), drawn


def test_a_judge_that_fails_retires_nobody(classroom: Classroom) -> None:
    failed = joined(classroom, group(0.0, 0.1), None)
    assert failed.teacher is not None and failed.teacher.value is None and len(policy_written([failed])[0].group) == 2
    assert joined(classroom, group(None, None), 1.0).teacher is None, "nothing to be better than"
    figures = classroom.learn([failed, joined(classroom, group(None, None), 1.0)])
    assert "teacher/retirement" not in figures and figures["teacher/failed"] == 0.5
    assert joined(classroom, group(0.0, 0.1), 1.0).teacher is not None, "it is asked again"


def test_a_teacher_hides_no_failure_of_the_judge(classroom: Classroom) -> None:
    """Three of four have no score, which is above a bound of 0.7, also where the teacher sits in one of their places."""
    for seed in range(0, 200, 10):
        scored = joined(classroom, group(0.0, None, None, None, seed=seed), 1.0)
        lost = [s.value for s in policy_written([scored])[0].scores].count(None)
        past: list[list[int]] = []
        believable([scored], past, 0.99 if lost < 3 else 1.0, 5)
        assert past == [[lost, 3]]


def test_the_teacher_stops_when_nearly_all_have_outgrown_it(make_policy: MakePolicy) -> None:
    classroom = Classroom(Teacher(stop_window=2, stop_rate=0.5, stop_spread=0.0), make_policy(), PROBLEMS, 8)
    for step, values in enumerate(((1.0, 0.0), (1.0, 0.0))):
        scored = [joined(classroom, group(0.5, 0.2, problem=PROBLEMS[2 * step + i]), v) for i, v in enumerate(values)]
        assert not classroom.stopped
        assert classroom.learn(scored)["teacher/retirement"] == 0.5
    assert classroom.stopped and joined(classroom, group(0.0, 0.1), 1.0).teacher is None
    kept = Classroom(Teacher(stop_window=2), make_policy(), PROBLEMS, 8)
    kept.state = classroom.state
    assert kept.stopped and kept.state == classroom.state


def test_an_outage_sends_no_teacher_away(make_policy: MakePolicy) -> None:
    """One problem has outgrown it; then neither teacher nor judge can be heard for the rest of the window."""
    classroom = Classroom(Teacher(stop_window=3, stop_rate=0.9, stop_spread=0.1), make_policy(), PROBLEMS, 8)
    grown = joined(classroom, group(0.5, 0.2, problem=PROBLEMS[0]), 0.0)
    silent = [joined(classroom, group(0.5, 0.2, problem=one), None) for one in PROBLEMS[1:3]]
    down = joined(classroom, group(None, None, problem=PROBLEMS[3]), 1.0)
    for _ in range(5):
        classroom.learn([grown, *silent, down])
        assert not classroom.stopped
        grown = joined(classroom, group(0.5, 0.2, problem=PROBLEMS[0]), 0.0)


def test_an_adaptive_kl_follows_the_policys_own_tokens(make_policy: MakePolicy) -> None:
    classroom = Classroom(Teacher(), make_policy(), PROBLEMS, 8)
    seated = joined(classroom, group(0.0, 0.1), 1.0)
    batch = Batch.from_groups([seated], 8)
    assert batch.teacher_mask_BT is not None and bool(batch.teacher_mask_BT.any())
    far_BT = torch.where(batch.teacher_mask_BT, 2.0, 0.01)
    measured, rollouts = mean_kl(replace(batch, old_logprobs_BT=far_BT, ref_logprobs_BT=torch.zeros_like(far_BT)))
    assert measured == pytest.approx(0.01) and rollouts == 1


def test_a_model_is_asked_once_for_each_problem_and_its_failure_retires_nobody(make_policy: MakePolicy) -> None:
    pupil = Pupil(failures=1)
    problem = Problem("new", ask("fever"))
    classroom = Classroom(Teacher(client=pupil), make_policy(), [problem], 8)
    first = joined(classroom, group(0.0, 0.1, problem=problem), 1.0)
    assert first.teacher is not None and "overloaded" in first.teacher.reason
    assert classroom.learn([first])["teacher/failed"] == 1.0
    for _ in range(2):
        later = joined(classroom, group(0.0, 0.1, problem=problem), 1.0)
        assert later.teacher is not None and later.teacher.value == 1.0
    assert pupil.asked == 2


def test_answers_that_cannot_be_taken_are_told(make_policy: MakePolicy) -> None:
    policy = make_policy()
    long = Problem("long", ask("fever"), metadata={"teacher_response": "gout " * 50})
    ending = policy.tokenizer.decode([policy.stop_ids[0]])
    ends = Problem("ends", ask("fever"), metadata={"teacher_response": f"gout{ending}gout"})
    classroom = Classroom(Teacher(), policy, [*PROBLEMS, long, ends], 8)
    assert "sampling.max_tokens is 8" in classroom.unusable["long"] and "ends a response" in classroom.unusable["ends"]
    with pytest.raises(ProblemError, match="no answer to any of 2 problems"):
        Classroom(Teacher(), policy, [long, ends], 8)
    with pytest.raises(ValueError, match="stop_rate is 2"):
        Teacher(stop_rate=2.0)
    with pytest.raises(RecipeError, match="compares rollouts"):
        trainer(policy, reward=PerGroup(Verified(says_gout), name="group"))


# Whole runs


class Rows:
    """A tracker that keeps what it was given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def log(self, step: int, metrics: Any, *, phase: str = "rl") -> None:
        self.rows.append(dict(metrics))

    def close(self) -> None:
        pass


def trainer(policy: Policy, reward: Reward | None = None, teacher: Teacher | None = CACHED, **knobs: Any) -> Trainer:
    settings = {"steps": 24, "problems_per_step": 4, "rollouts_per_problem": 4, "evaluate_every": 0, "save_every": 0}
    more = {name: knobs.pop(name) for name in ("run", "trackers") if name in knobs}
    return Trainer(
        policy,
        PROBLEMS,
        reward or Verified(says_gout),
        OnePO(max_rounds=1),
        settings=TrainerSettings(**{**settings, **knobs}),
        sampling=Sampling(max_tokens=4),
        optimization=Optimization(lr=2e-2),
        teacher=teacher,
        seed=3,
        **more,
    )


def test_a_policy_learns_what_it_never_draws_and_outgrows_its_teacher(make_policy: MakePolicy) -> None:
    rows, alone = Rows(), Rows()
    trainer(make_policy(), trackers=[rows]).fit()
    trainer(make_policy(), teacher=None, trackers=[alone]).fit()
    assert max(row["reward"] for row in alone.rows) == 0.0, "by itself it has nothing to learn from"
    retirement = [row["teacher/retirement"] for row in rows.rows]
    assert retirement[0] == 0.0 and retirement == sorted(retirement) and retirement[-2:] == [1.0, 1.0], retirement
    assert rows.rows[0]["teacher/seated"] == 1.0 and rows.rows[-1]["teacher/seated"] == 0.0
    shares = [row["teacher/retired_problems"] for row in rows.rows]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert rows.rows[0]["reward"] == 0.0, "figures are of the policy's own rollouts"
    assert rows.rows[-1]["reward"] > 0.5
    assert not any(name.startswith("teacher/") for row in alone.rows for name in row)


@pytest.mark.slow
def test_a_run_with_a_teacher_is_resumed_bit_equal(make_policy: MakePolicy, tmp_path: Path) -> None:
    def run(name: str, steps: Sequence[int]) -> tuple[Policy, RunFolder]:
        for number, until in enumerate(steps):
            policy = make_policy()
            with RunFolder.create(tmp_path / name, "name: t\n", resume=number > 0) as folder:
                one = trainer(policy, run=folder, steps=12)
                if number:
                    assert one.resume()
                one.fit(until)
        return policy, folder

    (whole, one), (broken, other) = run("whole", [12]), run("broken", [9, 12])
    assert all(map(torch.equal, whole.model.state_dict().values(), broken.model.state_dict().values()))
    assert [timeless(row) for row in one.read_metrics()] == [timeless(row) for row in other.read_metrics()]
    sources = {
        getattr(r, "source", "") for s in one.rollout_steps() for t in one.read_rollouts(s) for r in t.group.rollouts
    }
    assert sources == {"policy", "teacher"}


def test_groups_that_wait_in_a_checkpoint_keep_their_teacher(make_policy: MakePolicy, tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", "name: t\n") as folder:
        one = trainer(make_policy(), run=folder, steps=1)
        one.fit()
        better, equal = (
            joined(one.classroom, group(0.0, 0.1, problem=PROBLEMS[i]), v) for i, v in ((0, 1.0), (1, 0.1))
        )
        one.ahead.put_back([Ordered(2, PROBLEMS[:2], RewardContext(2), {0: better, 1: equal})])
        one.step = 2
        one._keep()
        assert latest_step(folder) == 2
        other = trainer(make_policy(), steps=1)
        checkpoint = folder.checkpoints()[-1]
        set_state(other, json.loads((checkpoint / "trainer.json").read_text()), checkpoint)
    (waiting,) = other.ahead.ordered
    assert waiting.kept == {0: better, 1: equal}


def test_a_recipe_names_its_teacher() -> None:
    tree = {
        "name": "x",
        "reward": {"type": "verified", "verifier": {"type": "text"}, "otherwise": 0.0},
        "problems": {"source": "clinic"},
        "policy": {"path": "some/model"},
        "algorithm": {"type": "onepo", "teacher_floor": 0.05},
        "teacher": {"client": {"type": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}, "stop_window": 10},
    }
    recipe = read_recipe(tree)
    assert recipe.teacher is not None and recipe.teacher.field == "teacher_response"
    assert read_recipe(yaml.safe_load(to_yaml(recipe))) == recipe
    assert (
        read_recipe({**tree, "teacher": {}}).teacher == Teacher()
        and read_recipe({**tree, "teacher": None}).teacher is None
    )
    with pytest.raises(RecipeError, match="no `type`"):
        read_recipe({**tree, "teacher": {"client": {"model": "m"}}})
