"""medrl in OpenRLHF 0.11.2's real code: its agents, its dynamic filter, its experience, its parser of arguments.

The policy is tiny and random, so what it "says" is given: an engine with vLLM's interface replays texts. Everything from
the tokens on is OpenRLHF's.
"""

import argparse
import ast
import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from answers_everywhere import ANSWERS, TREE, tree

from medrl.errors import RewardFailed
from medrl.interop import unpack
from medrl.interop.export import export_openrlhf
from medrl.interop.openrlhf import agent_executor, reward_function, rows
from medrl.interop.openrlhf_command import Launch, command
from medrl.models import Policy
from medrl.recipes.build import problems_of
from medrl.recipes.load import load_recipe, read_recipe

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def agent() -> Any:
    pytest.importorskip("openrlhf", reason="needs openrlhf; run `make test-interop`")
    from openrlhf.utils import agent

    return agent


@pytest.fixture(scope="module")
def tokenizer(make_policy: Callable[..., Policy]) -> Any:
    """One whose vocabulary covers the answers, as a chat model's does."""
    from medrl.models.tokenizer import train_tokenizer

    return train_tokenizer([answer.text for answer in ANSWERS] * 3, 600)


class Replay:
    """An engine with the interface that OpenRLHF's executors ask for: it "samples" given texts, then the ending token."""

    def __init__(self, tokenizer: Any, texts: list[str], ended: bool = True) -> None:
        self.tokenizer, self.texts, self.ended = tokenizer, deque(texts), ended

    async def generate(self, prompt_token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        ids = self.tokenizer(self.texts.popleft(), add_special_tokens=False)["input_ids"]
        ids = [*ids, self.tokenizer.eos_token_id] if self.ended else ids
        output = SimpleNamespace(
            token_ids=ids, text="", finish_reason="stop" if self.ended else "length", logprobs=None
        )
        return SimpleNamespace(outputs=[output])


def asked(tokenizer: Any) -> list[tuple[str, str]]:
    """The prompt and label of each answer, as OpenRLHF's own dataset makes them of our rows."""
    from openrlhf.datasets.prompts_dataset import preprocess_data

    render = tokenizer.apply_chat_template
    made = [preprocess_data(row, None, "input", "label", render) for row in rows([one.problem for one in ANSWERS])]
    return [(prompt, label) for prompt, label in made]  # type: ignore[misc]


def executed(executor: Any, tokenizer: Any, places: list[int], texts: list[str], ended: bool = True) -> list[Any]:
    params = SimpleNamespace(max_tokens=900, logprobs=None)
    engine, prompts = Replay(tokenizer, texts, ended), asked(tokenizer)

    async def run() -> list[Any]:
        return [await executor.execute(*prompts[at], params, 2000, tokenizer, engine) for at in places]

    return asyncio.run(run())


SCORED = [at for at, answer in enumerate(ANSWERS) if answer.value is not None]
LOST = [at for at, answer in enumerate(ANSWERS) if answer.value is None]


def test_the_agent_gives_the_numbers_of_the_tree(agent: Any, tokenizer: Any) -> None:
    made = agent_executor(agent.SingleTurnAgentExecutor, reward_function(tree(), retries=0))
    assert issubclass(made, agent.AgentExecutorBase)
    found = executed(made(), tokenizer, SCORED, [ANSWERS[at].text for at in SCORED])
    assert [one["reward"] for one in found] == [pytest.approx(ANSWERS[at].value) for at in SCORED]
    assert len({tuple(one["extra_logs"]) for one in found}) == 1


def test_the_agent_draws_again_and_then_stops_the_run(agent: Any, tokenizer: Any) -> None:
    lost, good = ANSWERS[LOST[1]].text, ANSWERS[6].text
    executor = agent_executor(agent.SingleTurnAgentExecutor, reward_function(tree(), retries=0, resample=2))()
    (found,) = executed(executor, tokenizer, [6], [lost, lost, good])
    assert found["reward"] == pytest.approx(1.0)
    start, end = found["action_ranges"][0]
    assert tokenizer.decode(found["observation_tokens"][start:end], skip_special_tokens=True) == good
    with pytest.raises(RewardFailed, match="responses drawn: 3"):
        executed(executor, tokenizer, [6], [lost] * 3)


def test_a_cut_response_is_known_for_it(agent: Any, tokenizer: Any) -> None:
    text = ANSWERS[0].text
    executor = agent_executor(agent.SingleTurnAgentExecutor, reward_function(tree(), retries=0))()
    (whole,) = executed(executor, tokenizer, [0], [text])
    (cut,) = executed(executor, tokenizer, [0], [text], ended=False)
    assert whole["reward"] == pytest.approx(1.0) and cut["reward"] == pytest.approx(0.3)


@pytest.fixture
def folder(tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `medrl interop openrlhf` writes for a reward, with the tokenizer of a local model."""
    tokenizer.save_pretrained(tmp_path / "model")
    return export_openrlhf(tree(), None, tmp_path / "out", Launch(model=str(tmp_path / "model"))).folder


def test_the_written_reward_file_gives_the_numbers_of_the_tree(agent: Any, tokenizer: Any, folder: Path) -> None:
    """Loaded by OpenRLHF's own loader; for a missing number it is None with a NaN score, never 0."""
    assert yaml.safe_load((folder / "reward.yaml").read_text(encoding="utf-8"))["name"] == TREE["name"]
    executor = agent.SingleTurnAgentExecutor(str(folder / "reward_func.py"))
    executor.reward_func = reward_function(
        tree(), retries=0, ends=executor.reward_func.ends, specials=executor.reward_func.specials
    )  # as written, but without waiting for a judge that stays down
    found = executed(executor, tokenizer, list(range(len(ANSWERS))), [answer.text for answer in ANSWERS])
    assert [one["reward"] for one in found] == [pytest.approx(answer.value) for answer in ANSWERS]
    assert all(found[at]["scores"] != found[at]["scores"] for at in LOST)  # NaN


def test_the_written_agent_file_loads_as_openrlhf_loads_it(agent: Any, folder: Path) -> None:
    from openrlhf.trainer.ray.vllm_engine import _load_agent_executor

    assert isinstance(_load_agent_executor(str(folder / "agent.py")), agent.SingleTurnAgentExecutor)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR", namespace="interop")
    yield ray
    ray.shutdown()


def generator(dispatched: list[Any]) -> Any:
    """OpenRLHF's SamplesGenerator, with refs to responses that have been made already instead of vLLM engines."""
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator

    class Ready(SamplesGenerator):  # type: ignore[misc]
        def _dispatch_prompts_to_vllm(self, prompts: Any, labels: Any, **_: Any) -> list[Any]:
            return [dispatched.pop(0) for _ in prompts]

    bounds = tuple(map(float, _range()))
    args = SimpleNamespace(algo=SimpleNamespace(dynamic_filtering_range=bounds))
    return Ready(SimpleNamespace(args=args), None, None, None, [])


def _range() -> tuple[str, ...]:
    recipe = load_recipe(EXAMPLES / "huatuogpt_o1" / "tiny.yaml")
    return command(recipe, Launch(model="m", via="file"), 9).flags["algo.dynamic_filtering_range"]


def test_a_group_with_a_missing_number_is_dropped_and_replaced_and_no_other_is(
    agent: Any, tokenizer: Any, folder: Path, ray: Any
) -> None:
    """OpenRLHF's dynamic filter, with the range of our command line: also groups of all 0 or all 1 stay."""
    executor = agent.SingleTurnAgentExecutor(str(folder / "reward_func.py"))
    executor.reward_func = reward_function(tree(), retries=0, ends=executor.reward_func.ends)
    groups = [[0, 1], [2, 2], [0, LOST[1]], [LOST[0], LOST[1]], [6, 8]]
    made = [executed(executor, tokenizer, group, [ANSWERS[at].text for at in group]) for group in groups]
    loader = iter([(None, [str(i)], [""], [None]) for i in range(len(groups))])
    experiences, consumed, _ = generator([ray.put(one) for one in made])._generate_vllm(loader, 3, True)
    assert consumed == 5 and len(experiences) == 6
    kept = sorted(float(one.rewards) for one in experiences)
    assert kept == pytest.approx(sorted(ANSWERS[at].value or 0.0 for at in (0, 1, 2, 2, 6, 8)))
    assert not any(torch.isnan(one.rewards).any() for one in experiences)
    from openrlhf.trainer.ppo_utils.experience import Experience

    batch = Experience.concat_experiences(experiences, 0)
    assert len(batch.rewards) == 6 and {"part/correct", "status/ok"} <= set(batch.info)


def test_without_the_filter_a_missing_number_stops_openrlhf_and_never_trains(
    agent: Any, tokenizer: Any, folder: Path, ray: Any
) -> None:
    from openrlhf.trainer.ppo_utils.experience import Experience

    executor = agent.SingleTurnAgentExecutor(str(folder / "reward_func.py"))
    executor.reward_func = reward_function(tree(), retries=0)
    made = executed(executor, tokenizer, [0, LOST[1]], [ANSWERS[0].text, ANSWERS[LOST[1]].text])
    loader = iter([(None, ["a"], [""], [None])])
    experiences, _, _ = generator([ray.put(made)])._generate_vllm(loader, 1, False)
    with pytest.raises((AttributeError, ValueError, TypeError)):
        Experience.concat_experiences(experiences, 0)
    assert Experience.concat_experiences(experiences[1:], 0).rewards is None


# The command line


def parsed(arguments: list[str]) -> Any:
    """What OpenRLHF's own `__main__` makes of these arguments: its parser, then all its checks, up to `train(args)`.

    Its module imports flash-attn, which needs a GPU to build. So the statements under `if __name__ == "__main__"` are run
    out of its source, with `train` keeping what it is given.
    """
    spec = find_spec("openrlhf")
    assert spec is not None and spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0]) / "cli" / "train_ppo_ray.py"
    module = ast.parse(source.read_text(encoding="utf-8"))
    main = next(node for node in module.body if isinstance(node, ast.If))
    assert "__main__" in ast.unparse(main.test)
    from datetime import datetime

    kept: list[Any] = []
    names = {"argparse": argparse, "os": os, "datetime": datetime, "train": kept.append}
    before, sys.argv = sys.argv, ["train_ppo_ray", *arguments]
    try:
        exec(compile(ast.Module(main.body, []), str(source), "exec"), names)
    finally:
        sys.argv = before
    (args,) = kept
    return args


@pytest.mark.parametrize("via", ["agent", "file", "url"])
def test_openrlhf_takes_the_command_line_of_a_recipe(agent: Any, via: Any) -> None:
    recipe = load_recipe(EXAMPLES / "huatuogpt_o1" / "tiny.yaml")
    url = "http://127.0.0.1:8000/get_reward" if via == "url" else None
    made = command(recipe, Launch(model="a/model", gpus=4, tensor_parallel=2, via=via, url=url), 4000)
    args = parsed(made.arguments())
    assert args.actor.model_name_or_path == "a/model"
    assert args.algo.advantage.estimator == "group_norm" and args.critic.model_name_or_path is None
    assert tuple(args.actor.eps_clip_low_high) == (0.2, 0.28)
    assert (args.algo.kl.init_coef, args.algo.kl.use_loss, args.algo.kl.estimator) == (0.01, True, "k3")
    assert args.actor.adam.lr == pytest.approx(6e-4) and args.actor.lr_scheduler == "linear"
    assert (args.rollout.batch_size, args.rollout.n_samples_per_prompt, args.train.batch_size) == (32, 8, 64)
    assert args.rollout.max_new_tokens == 64 and args.vllm.num_engines == 2
    assert args.algo.dynamic_filtering_enable == (via != "agent")
    assert args.reward.remote_url == {"agent": ["agent"], "file": ["./reward_func.py"], "url": [url]}[via]


@pytest.mark.parametrize(
    "overrides",
    [
        ("algorithm={type: dapo}", "sampling.top_k=5"),
        ("algorithm={type: dr_grpo, kl_coef: 0.05}", "optimization.lr=5e-7"),
        ("optimization.schedule=cosine", "optimization.gradient_checkpointing=true", "policy.dtype=bfloat16"),
        ("trainer.evaluate_every=0", "trainer.save_every=0", "trackers=[tensorboard]", "resume=true"),
        ("optimization.packing='on'", "policy.attention=flash_attention_2", "held_out=null"),
    ],
)
def test_openrlhf_takes_every_flag_that_a_recipe_may_become(agent: Any, overrides: tuple[str, ...]) -> None:
    tree = {"name": "x", "policy": {"path": "m"}, "problems": {"source": "clinic"}, "reward": {"type": "format"},
            "held_out": {"source": "clinic", "split": "held_out"}}  # fmt: skip
    made = command(read_recipe(tree, overrides=overrides), Launch(), 1000)
    args = parsed(made.arguments())
    for flag, values in made.flags.items():
        node = args
        for step in flag.split("."):
            node = getattr(node, step)
        given = node if isinstance(node, list | tuple) else [node]
        assert values == () or [type(one)(text) for one, text in zip(given, values, strict=True)] == list(given), flag


def test_openrlhf_reads_the_written_rows(agent: Any, tokenizer: Any, tmp_path: Path) -> None:
    """Its own loading of files and its own data set: the label that comes out is the problem that went in."""
    from openrlhf.datasets.prompts_dataset import PromptDataset
    from openrlhf.datasets.utils import blending_datasets

    overrides = ("problems={source: clinic, kinds: [term, choice, number, yes_no, set], count: 40}",)
    recipe = load_recipe(EXAMPLES / "openrlhf" / "recipe.yaml", (*overrides, "held_out.count=4"))
    folder = export_openrlhf(tree(), recipe, tmp_path / "out", Launch()).folder
    names = SimpleNamespace(input_key="input", label_key="label", apply_chat_template=True)
    strategy = SimpleNamespace(print=str, is_rank_0=lambda: False, args=SimpleNamespace(data=names, use_ms=False))
    read = blending_datasets(str(folder / "prompts.jsonl"), None, strategy)
    rows = PromptDataset(read, tokenizer, strategy)
    problems = problems_of(recipe.problems)
    assert len(rows) == len(problems) == 40
    for (_, prompt, label, _), problem in zip(rows, problems, strict=True):
        assert unpack(label) == problem
        messages = [dict(message) for message in problem.messages]
        assert prompt == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def test_the_example_is_a_recipe_that_openrlhf_takes(agent: Any) -> None:
    recipe = load_recipe(EXAMPLES / "openrlhf" / "recipe.yaml")
    made = command(recipe, Launch(), recipe.problems.count)
    args = parsed(made.arguments())
    assert args.data.max_samples == 100 * 128 and args.train.num_episodes == 1
    assert args.ds.packing_samples and args.actor.gradient_checkpointing_enable
    assert "trainer.steps" not in made.notes


def test_a_flag_that_openrlhf_does_not_have_would_be_noticed(agent: Any) -> None:
    with pytest.raises(SystemExit):
        parsed(["--actor.learning_rate", "1e-6"])
