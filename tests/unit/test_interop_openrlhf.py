"""OpenRLHF: cutting responses out of queries, the agent, and the command line of a recipe."""

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers_everywhere import ANSWERS, ASTHMA, GOUT, TREE, o1, tree
from interop_rewards import Ranks

from medrl.cli import main
from medrl.errors import ProblemError, RecipeError, RewardFailed
from medrl.interop import Columns, pack
from medrl.interop.export import special_tokens
from medrl.interop.openrlhf import SPECIALS, agent_executor, response_of, reward_function, rows
from medrl.interop.openrlhf_command import EVERYTHING, OTHERWISE, WHOLE, Command, Launch, command, knobs_of
from medrl.models import Policy
from medrl.recipes.load import read_algorithm, read_recipe
from medrl.rewards import build
from medrl.types import Problem, Response, ask

PROMPT = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
ENDS = ("<|im_end|>",)


def test_a_tree_that_verifies_nothing_takes_problems_without_a_reference() -> None:
    function = reward_function(build("truncation"), ends=ENDS)
    (row,) = rows([Problem("open", ask("Why rest?"))])
    found = function([PROMPT + "To heal.<|im_end|>", PROMPT + "To"], [PROMPT] * 2, [row["label"]] * 2)
    assert found["rewards"] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("tail", "text", "finish"),
    [
        ("asthma<|im_end|>", "asthma", "stop"),
        ("asthma<|im_end|>\n", "asthma", "stop"),  # as some templates write it
        ("asthma</s> twice<|im_end|>", "asthma twice", "stop"),
        ("asthma", "asthma", "length"),
        ("", "", "length"),
        ("a < b <think>x</think> <|not_known|> C<T><|im_end|>", "a < b <think>x</think> <|not_known|> C<T>", "stop"),
        ("<|im_end|>\n<|im_start|>assistant\nasthma<|im_end|>", "\nassistant\nasthma", "stop"),
        (
            PROMPT + "asthma",
            "user\nWhy?\nassistant\nasthma",
            "length",
        ),  # a policy that repeats its prompt gains nothing
    ],
)
def test_a_response_is_cut_exactly(tail: str, text: str, finish: str) -> None:
    assert response_of(PROMPT + tail, PROMPT, ENDS) == Response(text, finish_reason=finish)  # type: ignore[arg-type]


def test_a_query_that_does_not_begin_with_its_prompt_is_no_guess() -> None:
    for query, prompt in ((PROMPT[5:], PROMPT), (" " + PROMPT, PROMPT), ("", PROMPT), (PROMPT, "")):
        with pytest.raises(ProblemError, match="does not begin with its prompt"):
            response_of(query + "asthma", prompt, ENDS)


def test_where_the_ends_are_not_known_no_response_counts_as_cut() -> None:
    assert response_of(PROMPT + "asthma</s>", PROMPT) == Response("asthma")
    assert response_of(PROMPT + "asthma<|other_end|>", PROMPT) == Response("asthma<|other_end|>")


def test_a_hostile_query_takes_linear_time() -> None:
    text = "<|im_<|im_end|<|" * 60_000
    assert response_of(PROMPT + text, PROMPT, ENDS, SPECIALS).finish_reason == "length"


def test_the_reward_file_gives_the_numbers_of_the_tree() -> None:
    function, keys = reward_function(tree(), ends=ENDS, retries=0), set()
    for answer in ANSWERS:
        found = function([PROMPT + answer.text + "<|im_end|>"], [PROMPT], [pack(answer.problem)])
        keys.add(tuple(found["extra_logs"]))
        if answer.value is None:  # the dynamic filter drops the group of a NaN score
            assert found["rewards"] is None and math.isnan(found["scores"])
        else:
            assert found["rewards"] == found["scores"] == pytest.approx(answer.value)
        assert all(isinstance(value, float) and math.isfinite(value) for value in found["extra_logs"].values())
    assert len(keys) == 1
    two = function(
        [PROMPT + a.text + "<|im_end|>" for a in ANSWERS[:2]], [PROMPT] * 2, [pack(a.problem) for a in ANSWERS[:2]]
    )
    assert two["rewards"] == [pytest.approx(1.0)] * 2
    assert len(two["extra_logs"]["part/correct"]) == 2


@pytest.mark.parametrize(("prompt", "label"), [("another prompt", pack(ASTHMA)), (PROMPT, "asthma"), (PROMPT, None)])
def test_what_cannot_be_judged_has_no_number(prompt: str, label: Any) -> None:
    found = reward_function(tree(), retries=0)([PROMPT + "asthma"], [prompt], [label])
    assert found["rewards"] is None and math.isnan(found["scores"])
    assert found["extra_logs"]["status/invalid"] == 1.0


def test_a_node_that_was_told_to_raise_drops_its_group_too() -> None:
    """OpenRLHF would swallow the exception and go on with a score of None, which its filter does not drop."""
    raising = build({"type": "weighted_sum", "weights": [1.0], "missing": "raise", "parts": [TREE["parts"][2]]})
    found = reward_function(raising, retries=0)([PROMPT + "crash now"], [PROMPT], [pack(ASTHMA)])
    assert found["rewards"] is None and math.isnan(found["scores"]) and found["extra_logs"]["status/error"] == 1.0


def test_trees_that_compare_rollouts_are_refused() -> None:
    with pytest.raises(RecipeError, match="'ranks' compares the rollouts"):
        reward_function(Ranks())


class Letters:
    """A tokenizer whose tokens are code points; the token 0 is special."""

    def decode(self, tokens: list[int], skip_special_tokens: bool = True) -> str:
        return "".join(chr(t) for t in tokens if t)


class Sampler:
    """What OpenRLHF's SingleTurnAgentExecutor does, with the texts that it draws given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def execute(self, prompt: str, label: Any, sampling: Any, length: int, hf_tokenizer: Any, engine: Any) -> Any:
        ours = [*map(ord, self.texts.pop(0)), 0]
        tokens = [*map(ord, prompt), *ours]
        return {"observation_tokens": tokens, "action_ranges": [(len(prompt), len(tokens))], "truncated": False,
                "reward": None, "scores": None, "extra_logs": {}}  # fmt: skip


def drawn(texts: list[str], problem: Any = ASTHMA, **knobs: Any) -> tuple[dict[str, Any], list[str]]:
    executor = agent_executor(Sampler, reward_function(tree(), retries=0, **knobs))()
    executor.texts = list(texts)
    label = problem if isinstance(problem, str) else pack(problem)
    found = asyncio.run(executor.execute("prompt", label, None, 99, Letters(), None))
    return found, executor.texts


def test_the_agent_draws_again_where_there_is_no_number() -> None:
    lost, good, bad = o1("crash now", "asthma"), o1("wheeze", "asthma"), o1("wheeze", "gout")
    found, left = drawn([lost, lost, good, bad])
    assert found["reward"] == found["scores"] == pytest.approx(1.0) and left == [bad]
    found, left = drawn([bad, good])
    assert found["reward"] == pytest.approx(0.3) and left == [good]  # a wrong answer is not drawn again


def test_the_agent_stops_the_run_rather_than_make_a_number_up() -> None:
    lost = o1("crash now", "asthma")
    with pytest.raises(RewardFailed, match=r"responses drawn: 3 .*the judge is down"):
        drawn([lost] * 9, resample=2)
    with pytest.raises(RewardFailed, match=r"responses drawn: 1 .*no problem as JSON"):
        drawn([lost, o1("wheeze", "asthma")], problem="asthma")


RECIPE = {
    "name": "tiny",
    "policy": {"path": "a/model"},
    "problems": {"source": "clinic", "count": 40},
    "held_out": {"source": "clinic", "split": "held_out", "count": 5},
    "reward": {"type": "format"},
    "trainer": {"steps": 5, "problems_per_step": 8, "rollouts_per_problem": 4},
}


def made(*overrides: str, launch: Launch | None = None) -> Command:
    return command(read_recipe(RECIPE, overrides=overrides), launch or Launch(), 40)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("held_out=null",),
        ("algorithm={type: dapo}",),
        ("algorithm={type: dr_grpo, kl_coef: 0.05}", "sampling.top_k=5"),
        ("trainer.steps=7", "trackers=[wandb, tensorboard]", "resume=true", "optimization.packing='on'"),
        ("policy.dtype=bfloat16", "policy.attention=sdpa", "algorithm={type: grpo, scale: batch, minibatches: 3}"),
    ],
)
def test_every_knob_of_a_recipe_is_a_flag_or_a_note(overrides: tuple[str, ...]) -> None:
    recipe, found = read_recipe(RECIPE, overrides=overrides), made(*overrides)
    every = set(knobs_of(recipe, read_algorithm(recipe.algorithm)[0]))
    assert every == (found.mapped & every) | (set(found.notes) & every)
    assert not found.mapped & set(found.notes)
    assert set(found.notes) <= every
    assert "no such knob" not in "".join(found.notes.values())
    assert {*WHOLE, *OTHERWISE} - every <= {"sft", "demonstrations", "policy.new", "held_out", "environment", "teacher"}


def test_flags_say_what_the_recipe_says() -> None:
    flags = made("algorithm={type: grpo, clip_high: 0.28, kl_coef: 0.01, minibatches: 2}", "optimization.lr=5e-7",
                 "optimization.warmup_steps=2", "sampling.max_tokens=64").flags  # fmt: skip
    assert flags["actor.eps_clip_low_high"] == ("0.2", "0.28")
    assert float(flags["actor.adam.lr"][0]) == 5e-7
    assert flags["train.batch_size"] == ("16",) and flags["rollout.batch_size"] == ("8",)
    assert (flags["data.max_samples"], flags["train.num_episodes"]) == (("40",), ("1",))
    assert float(flags["actor.lr_warmup_ratio"][0]) == 2 / 10
    assert flags["data.max_len"] == ("1088",)
    assert "algo.kl.use_loss" in flags and flags["algo.kl.estimator"] == ("k3",)
    assert "algo.dynamic_filtering_enable" not in flags  # the agent needs none
    filtered = made(launch=Launch(via="file")).flags
    assert filtered["algo.dynamic_filtering_range"] == EVERYTHING and "train.agent_func_path" not in filtered
    assert made(launch=Launch(via="url", url="http://127.0.0.1:1/get_reward")).flags["reward.remote_url"] == (
        "http://127.0.0.1:1/get_reward",
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("policy={new: {layers: 1}}",), "name that folder with --model"),
        (("demonstrations={source: clinic}", "sft={epochs: 1}"), "name that folder with --model"),
        (("algorithm=nothing",), "has no component 'nothing'"),
    ],
)
def test_what_openrlhf_cannot_do_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        made(*overrides)


@pytest.mark.parametrize("knobs", [{"gpus": 0}, {"gpus": 8, "tensor_parallel": 3}, {"via": "url"}, {"url": "http://x"}])
def test_a_launch_that_cannot_be_is_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Launch(**knobs)


def test_the_folder_that_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    out = tmp_path / "out"
    assert main(["interop", "openrlhf", str(tmp_path / "recipe.yaml"), "--out", str(out), "--gpus", "2"]) == 0
    names = ["agent.py", "held_out.jsonl", "prompts.jsonl", "reward.yaml", "reward_func.py", "train.sh"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert len((out / "prompts.jsonl").read_text(encoding="utf-8").splitlines()) == 40
    script = (out / "train.sh").read_text(encoding="utf-8")
    assert "--actor.num_gpus_per_node 2" in script and "#   threads: " in script
    assert "without a flag" in capsys.readouterr().out
    assert main(["interop", "openrlhf", str(tmp_path / "recipe.yaml"), "--out", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err
    (tmp_path / "reward.yaml").write_text("type: format\n", encoding="utf-8")
    assert main(["interop", "verl", str(tmp_path / "reward.yaml"), "--out", str(tmp_path / "verl")]) == 0
    names = ["compute_score.py", "manager.py", "overrides.txt", "reward.yaml"]
    assert sorted(path.name for path in (tmp_path / "verl").iterdir()) == names
    comma = str(tmp_path / "a,b")
    assert main(["interop", "openrlhf", str(tmp_path / "reward.yaml"), "--out", comma]) == 2
    assert main(["interop", "verl", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "v")]) == 2


def test_the_special_tokens_of_a_local_model(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy()
    policy.save(tmp_path / "model")
    tokenizer = policy.tokenizer
    other = next(t for t in tokenizer.all_special_tokens if t != tokenizer.eos_token)
    ids = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(other)]
    (tmp_path / "model" / "generation_config.json").write_text(f'{{"eos_token_id": {ids}}}', encoding="utf-8")
    found = special_tokens(str(tmp_path / "model"))
    assert found is not None and set(found[0]) == {tokenizer.eos_token, other}
    assert {*found[0], *found[1]} >= set(tokenizer.all_special_tokens) and not set(found[0]) & set(found[1])
    assert special_tokens("Qwen/Qwen2.5-7B-Instruct") is special_tokens(None) is None


def test_rows_carry_the_whole_problem() -> None:
    (row,) = rows([GOUT])
    assert row["input"] == [{"role": "user", "content": "最可能的诊断是什么？"}]
    assert Columns(problem="label").problem_of(row, ()) == GOUT
