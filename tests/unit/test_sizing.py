"""How large a cluster must be: published tables, closed forms of the loop, and what more GPUs may and may not change."""

import importlib.util
import json
import math
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medrl.sizing import (
    MACHINES,
    SHAPES,
    Achieved,
    DoesNotFit,
    EngineRates,
    LearnerRates,
    Lengths,
    Machine,
    Rates,
    Shape,
    Site,
    Split,
    Training,
    Workload,
    best_split,
    cache_tokens,
    engine_rates,
    learner_rates,
    learner_room,
    machine_of,
    predict,
    rates_of,
    shape_of,
    simulate,
    splits,
    sync_seconds,
    zero_bytes,
)

EQUAL = Workload(problems=4, samples=2, prompt=10, lengths=Lengths(mean=101, spread=0.0))
SMALL = Workload(problems=32, samples=4, prompt=100, lengths=Lengths(mean=300, spread=0.8, limit=1000))


def rates(step: float = 0.01, update: float = 0.0, sync: float = 0.0, **engine: float) -> Rates:
    return Rates(EngineRates(step=step, **engine), LearnerRates(token=0.0, update=update), sync=sync)


# Models and memory against what is published


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen2.5-0.5B", 0.49),
        ("Qwen2.5-1.5B", 1.54),
        ("Qwen2.5-7B", 7.62),
        ("Llama-3.2-1B", 1.24),
        ("Llama-3.2-3B", 3.21),
        ("Llama-3.1-8B", 8.03),
        ("Qwen2.5-32B", 32.8),
        ("Llama-3.1-70B", 70.6),
        ("Qwen2.5-72B", 72.7),
    ],
)
def test_parameters_are_those_of_the_model_cards(name: str, billions: float) -> None:
    assert SHAPES[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_parameters_are_those_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    ours = Shape(64, 3, 4, 2, 96, 500, tied=False, qkv_bias=True, head_dim=16)
    for tied in (False, True):
        config = transformers.Qwen2Config(
            vocab_size=500,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=96,
            tie_word_embeddings=tied,
        )
        with torch.device("meta"):
            model = transformers.Qwen2ForCausalLM(config)
            model.tie_weights()
        assert replace(ours, tied=tied).parameters == sum(p.numel() for p in model.parameters())


def test_zero_is_the_papers_table() -> None:
    """arXiv 1910.02054, figure 1: 7.5 B parameters, 64 ranks, K = 12."""
    gigabytes = [sum(zero_bytes(7.5e9, stage, 64)) / 1e9 for stage in (0, 1, 2, 3)]
    assert gigabytes == pytest.approx([120.0, 31.4, 16.6, 1.9], abs=0.05)


def test_a_rank_needs_less_of_everything_that_is_split() -> None:
    shape = SHAPES["Qwen2.5-7B"]
    rooms = [learner_room(shape, Training(zero=stage), 8).total for stage in (0, 1, 2, 3)]
    assert rooms == sorted(rooms, reverse=True)
    assert learner_room(shape, Training(), 16).total < learner_room(shape, Training(), 8).total
    assert learner_room(shape, Training(offload=True), 8).optimizer == 0
    assert learner_room(shape, Training(), 8).gradients == pytest.approx(4 * shape.parameters / 8)
    assert learner_room(shape, Training(forwards=2), 8).reference == pytest.approx(2 * shape.parameters / 8)
    whole, recomputed = (learner_room(shape, Training(checkpointing=on), 8).activations for on in (False, True))
    assert whole > 10 * recomputed


def test_a_cache_holds_what_the_weights_leave() -> None:
    shape, machine = SHAPES["Llama-3.1-8B"], MACHINES["H100"]
    one = cache_tokens(shape, machine, 1, share=0.9, work=0.0)
    assert one * 131_072 + 2 * shape.parameters == pytest.approx(0.9 * 80e9)
    assert cache_tokens(shape, machine, 2) > 2 * cache_tokens(shape, machine, 1)  # the weights lie there once
    assert cache_tokens(SHAPES["Qwen2.5-72B"], machine, 1) < 0


# The loop against closed forms


def test_one_engine_writes_equal_rollouts_in_as_many_steps_as_they_have_tokens() -> None:
    done = simulate(rates(update=0.5, sync=0.25, prompt=0.001), EQUAL)
    sampling = 100 * 0.01 + 4 * 10 * 0.001  # 101 tokens, the first of them by the prompt's pass; prompts once a group
    assert done.seconds == pytest.approx([sampling + 0.75] * 8)
    assert (done.sampling, done.learning, done.syncing) == pytest.approx((sampling, 0.5, 0.25))
    assert done.engines_idle == pytest.approx(0.75 / (sampling + 0.75))
    assert done.learner_idle == pytest.approx(1 - 0.5 / (sampling + 0.75))
    assert done.tokens_per_second == pytest.approx(8 * 101 / (sampling + 0.75))
    assert done.staleness == {0: 1.0}


def test_rows_and_context_cost_what_the_rates_say() -> None:
    done = simulate(rates(row=0.002, context=1e-5), EQUAL, steps=1, warmup=0)
    context = sum(8 * (10 + written) for written in range(1, 101))
    assert done.step == pytest.approx(100 * (0.01 + 8 * 0.002) + 1e-5 * context)


def test_the_longest_rollout_decides_a_synchronous_step() -> None:
    lengths = [[[5, 50], [7, 201], [20, 30], [1, 2]]]
    assert simulate(rates(), EQUAL, steps=1, warmup=0, lengths=lengths).step == pytest.approx(200 * 0.01)


def test_two_engines_halve_what_rows_cost() -> None:
    busy = rates(step=0.0, row=0.01)
    one, two = (simulate(busy, EQUAL, engines=engines).step for engines in (1, 2))
    assert one == pytest.approx(100 * 8 * 0.01) and two == pytest.approx(one / 2)


def test_slots_make_rollouts_wait_their_turn() -> None:
    assert simulate(rates(slots=2), EQUAL).step == pytest.approx(4 * 100 * 0.01)
    assert simulate(rates(slots=4), EQUAL).step == pytest.approx(2 * 100 * 0.01)


def test_a_gate_lets_nobody_in_before_enough_have_left() -> None:
    lengths = [[[11, 101], [101, 11]]]
    work = replace(EQUAL, problems=2)
    free = simulate(rates(slots=2), work, steps=1, warmup=0, lengths=lengths).step
    gated = simulate(rates(slots=2, gate=1.0), work, steps=1, warmup=0, lengths=lengths).step
    assert free == pytest.approx((10 + 100 + 0) * 0.01)  # the third begins after 10 steps, the fourth after 100
    assert gated == pytest.approx(2 * 100 * 0.01)


def test_a_full_cache_makes_rollouts_wait() -> None:
    room = 2 * (10 + 101)
    assert simulate(rates(cache=room), EQUAL).step == pytest.approx(4 * 100 * 0.01)


@pytest.mark.parametrize(("update", "slower"), [(0.4, 1.0), (3.0, 3.0)])
def test_one_step_ahead_hides_the_shorter_phase(update: float, slower: float) -> None:
    bound_by_rows = rates(step=0.0, row=0.01 / 8, update=update)
    assert simulate(bound_by_rows, EQUAL, staleness=0).step == pytest.approx(1.0 + update)
    ahead = simulate(bound_by_rows, EQUAL, staleness=1)
    assert ahead.step == pytest.approx(slower)
    assert ahead.staleness == {1: 1.0} if update > 1 else set(ahead.staleness) == {0, 1}


def test_engines_stand_still_while_weights_arrive() -> None:
    bound_by_rows = rates(step=0.0, row=0.01 / 8, update=0.4, sync=0.3)
    assert simulate(bound_by_rows, EQUAL, staleness=1).step == pytest.approx(1.0 + 0.3)


def test_one_step_ahead_writes_two_steps_at_once_where_rows_cost_nothing() -> None:
    """Sampling (1.0 s) of one step runs beside that of the next, so two steps take 1.0 + 0.4 s."""
    assert simulate(rates(update=0.4), EQUAL, staleness=1).step == pytest.approx(0.7)


def test_learner_that_falls_behind_stops_the_sampling() -> None:
    """k steps ahead, not more: the engines wait, and nothing grows older than k."""
    done = simulate(rates(update=10.0), EQUAL, staleness=3, warmup=4)
    assert done.step == pytest.approx(10.0) and done.engines_idle == pytest.approx(0.9)
    assert done.staleness == {3: 1.0}


@pytest.mark.parametrize("staleness", [0, 1, 2, 4])
@pytest.mark.parametrize("engines", [1, 3])
def test_no_token_is_older_than_allowed(staleness: int, engines: int) -> None:
    done = simulate(
        rates(update=1.0, sync=0.1, slots=16), SMALL, engines=engines, staleness=staleness, warmup=staleness + 1
    )
    assert set(done.staleness) <= set(range(staleness + 1))
    assert sum(done.staleness.values()) == pytest.approx(1.0)
    assert done.mean_staleness <= staleness


def test_every_token_is_written_once() -> None:
    for staleness in (0, 2):
        done = simulate(rates(update=0.5, row=1e-3, slots=20), SMALL, engines=2, staleness=staleness, steps=5, warmup=3)
        drawn = [sum(map(sum, SMALL.draw(step, 0))) for step in range(3, 8)]
        assert done.tokens_per_second * sum(done.seconds) == pytest.approx(sum(drawn))


def test_running_ahead_never_costs_time_and_stragglers_are_what_it_hides() -> None:
    tail = replace(SMALL, lengths=Lengths(mean=300, spread=1.2, limit=4000))
    synchronous = simulate(rates(update=2.0, row=1e-3), tail, engines=4, warmup=3)
    ahead = simulate(rates(update=2.0, row=1e-3), tail, engines=4, staleness=1, warmup=3)
    even = simulate(rates(update=2.0, row=1e-3), replace(tail, lengths=Lengths(mean=300, spread=0.0)), engines=4)
    assert ahead.step < 0.8 * synchronous.step
    assert synchronous.engines_idle > even.engines_idle + 0.2


def test_updates_in_the_middle_of_rollouts_cost_their_keys_and_values() -> None:
    kept, again = (
        simulate(rates(update=0.3, prompt=1e-4, row=1e-3), SMALL, staleness=1, recompute=on) for on in (False, True)
    )
    assert again.step > kept.step


def test_a_judge_is_waited_for_and_its_limit_too() -> None:
    judged = replace(EQUAL, scoring=2.0)
    assert simulate(rates(), judged).step == pytest.approx(3.0)
    assert simulate(rates(), replace(judged, scores_per_second=1.0)).step == pytest.approx(1.0 + 8.0 + 2.0)


def test_each_minibatch_is_an_update() -> None:
    assert simulate(rates(update=0.5), replace(EQUAL, minibatches=4)).learning == pytest.approx(2.0)


def test_what_takes_turns_pays_for_the_change() -> None:
    there = Rates(EngineRates(step=0.01), LearnerRates(token=0.0, update=0.5), switch=2.0)
    assert simulate(there, EQUAL, together=True).step == pytest.approx(3.5)
    assert simulate(there, EQUAL).step == pytest.approx(1.5)


def test_a_learner_is_as_slow_as_its_fullest_rank_and_its_links() -> None:
    rows = [100] * 8
    assert LearnerRates(token=0.01, ranks=4).seconds(rows) == pytest.approx(2.0)
    assert LearnerRates(token=0.01, ranks=100).seconds(rows) == pytest.approx(1.0)  # a row is not split
    assert LearnerRates(token=0.01, squared=0.001).seconds([100]) == pytest.approx(1.0 + 10.0)
    linked = LearnerRates(token=1e-6, gather=5.0, microbatch_tokens=200, ranks=2)
    assert linked.seconds(rows) == pytest.approx(2 * 5.0)


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    first, again = (simulate(rates(update=1.0), SMALL, staleness=1, seed=7) for _ in range(2))
    assert first == again
    assert simulate(rates(update=1.0), SMALL, staleness=1, seed=8).seconds != first.seconds


# Lengths


def test_lengths_have_the_mean_and_the_tail_that_they_are_said_to_have() -> None:
    drawn = [n for group in Lengths(mean=1000, spread=0.8, limit=10**6).draw(400, 16, 1) for n in group]
    assert sum(drawn) / len(drawn) == pytest.approx(1000, rel=0.1)
    middle = sorted(drawn)[len(drawn) // 2]
    assert middle == pytest.approx(1000 * math.exp(-0.32), rel=0.1)
    cut = Lengths(mean=1000, spread=0.8, limit=1200).draw(400, 16, 1)
    assert max(map(max, cut)) == 1200 and min(map(min, cut)) >= 1


def test_groups_share_what_does_not_vary_inside_them() -> None:
    alike = Lengths(mean=500, spread=1.0, within=0.0).draw(20, 8, 0)
    assert all(len(set(group)) == 1 for group in alike) and len({group[0] for group in alike}) > 10


def test_seen_lengths_are_drawn_from_and_cut() -> None:
    assert {n for group in Lengths(seen=(3, 50), limit=10).draw(30, 4, 0) for n in group} == {3, 10}


# Clusters


def site(name: str = "Qwen2.5-7B", machine: str = "H100", **more: object) -> Site:
    return replace(Site(shape_of(name), machine_of(machine), SMALL), **more)


def test_rates_follow_from_the_figures_of_the_machine() -> None:
    shape, machine = SHAPES["Llama-3.1-8B"], Machine(100e12, 80e9, 2e12, 400e9, 50e9)
    reached = Achieved(learning=0.5, multiplying=0.5, reading=0.5, linking=0.5, step=0.0, all_reduce=0.0, update=0.0)
    engine = engine_rates(shape, machine, reached, 1, 64, 1e6)
    assert engine.weights == pytest.approx(2 * shape.matmul_parameters / 1e12)
    assert engine.row == pytest.approx(2 * shape.matmul_parameters / 50e12)
    assert engine.context == pytest.approx(131_072 / 1e12)
    assert engine.decode(1, 0) == pytest.approx(engine.weights) and engine.decode(64, 0) > 1.2 * engine.weights
    learner = learner_rates(shape, machine, reached, Training(forwards=0, checkpointing=False), 1)
    assert learner.token == pytest.approx(6 * shape.matmul_parameters / 50e12)
    assert learner.gather == 0
    split = learner_rates(shape, machine, reached, Training(forwards=0), 8)
    assert split.gather == pytest.approx(3 * 2 * shape.parameters * (7 / 8) / 200e9)


def test_links_count_inside_a_node_and_between_nodes() -> None:
    shape, slow = SHAPES["Llama-3.1-8B"], replace(MACHINES["H100"], between=5e9)
    reached, size = Achieved(linking=0.5), 2 * SHAPES["Llama-3.1-8B"].parameters
    two_nodes = learner_rates(shape, slow, reached, Training(forwards=0), 16)
    assert two_nodes.gather == pytest.approx(3 * size / 2 / (8 * 5e9 * 0.5))  # half of the bytes are on the other node
    whole = learner_rates(shape, slow, reached, Training(zero=1), 16)
    assert whole.gather == 0 and whole.update > reached.update + 2 * size / 2 / (8 * 5e9 * 0.5)
    alone, split = (engine_rates(shape, slow, reached, gpus, 64, 1e6) for gpus in (1, 4))
    assert split.weights == pytest.approx(alone.weights / 4) and split.context == pytest.approx(alone.context / 4)
    assert split.step - alone.step == pytest.approx(2 * 32 * reached.all_reduce)
    assert split.row > alone.row / 4
    few_heads = SHAPES["Qwen2.5-7B"]  # 4 heads of keys and values, each of which two of eight GPUs must read
    four, eight = (engine_rates(few_heads, slow, reached, gpus, 64, 1e6).context for gpus in (4, 8))
    assert eight == pytest.approx(four)
    assert [sync_seconds(shape, Achieved(transport=1e9, sync=1.0), nodes) for nodes in (1, 2, 9)] == pytest.approx(
        [1 + size / 1e9, 1 + 2 * size / 1e9, 1 + 2 * size / 1e9]
    )


def test_a_step_of_decoding_never_gets_slower_with_a_faster_machine() -> None:
    shape = SHAPES["Qwen2.5-32B"]
    steps = [
        engine_rates(shape, MACHINES[name], Achieved(), 4, 256, 1e6).decode(64, 64_000)
        for name in ("A100", "H100", "H200")
    ]
    assert steps == sorted(steps, reverse=True)


def test_what_does_not_fit_says_why() -> None:
    with pytest.raises(DoesNotFit, match=r"a rank of 4 needs \d+ GB and has 80"):
        rates_of(site("Qwen2.5-72B"), Split(1, 4, 4))
    with pytest.raises(DoesNotFit, match="has room for 0 tokens of cache"):
        rates_of(site("Qwen2.5-72B"), Split(1, 1, 64))
    with pytest.raises(DoesNotFit):
        best_split(site("Qwen2.5-72B"), 8)
    with pytest.raises(DoesNotFit, match="1 GPU cannot be split"):
        best_split(site("Qwen2.5-0.5B"), 1, staleness=1)


def test_one_gpu_holds_a_small_model_in_turns() -> None:
    plan = best_split(site("Qwen2.5-0.5B"), 1)
    assert plan.split == Split(1, 1, 1, together=True) and plan.learner_bytes < 80e9


def test_every_split_uses_all_gpus() -> None:
    for gpus in (1, 2, 8, 12, 16, 48, 1024):
        found = list(splits(site(), gpus))
        assert found and all(split.gpus == gpus and split.engines >= 1 and split.ranks >= 1 for split in found)


def test_the_best_split_is_no_slower_than_the_others() -> None:
    there = site()
    best = best_split(there, 8, staleness=1, tried=3)
    steps = []
    for split in splits(there, 8, together=False):
        with suppress(DoesNotFit):
            steps.append(predict(there, split, 1).simulated.step)
    assert len(steps) > 8 and best.simulated.step <= 1.02 * min(steps)


def test_more_gpus_are_not_slower_and_cost_what_they_take() -> None:
    plans = [best_split(site(), gpus, tried=2) for gpus in (4, 8, 16)]
    steps = [plan.simulated.step for plan in plans]
    assert steps == sorted(steps, reverse=True)
    assert plans[1].gpu_hours(100) == pytest.approx(8 * steps[1] * 100 / 3600)
    assert plans[1].cost(100, price=2.0) == pytest.approx(2 * plans[1].gpu_hours(100))


# What makes no sense


def test_bad_numbers_are_named_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"engines is 0.*staleness is -1"):
        simulate(rates(), EQUAL, engines=0, staleness=-1)
    with pytest.raises(ValueError, match="always on-policy"):
        simulate(rates(), EQUAL, together=True, staleness=1)
    with pytest.raises(ValueError, match="lengths has 1 steps, and 10 are simulated"):
        simulate(rates(), EQUAL, lengths=[[[1]]])
    with pytest.raises(ValueError, match="does not fit into an engine's cache of 50"):
        simulate(rates(cache=50), EQUAL)
    with pytest.raises(ValueError, match="writing a token takes time"):
        EngineRates(step=0.0)
    with pytest.raises(ValueError, match=r"problems is 0.*samples is -1"):
        Workload(problems=0, samples=-1)
    with pytest.raises(ValueError, match=r"mean is nan.*within is 2"):
        Lengths(mean=math.nan, within=2)
    with pytest.raises(ValueError, match="seen has a length of 0"):
        Lengths(seen=(3, 0))
    with pytest.raises(ValueError, match=r"reading is 1\.5; it is a share"):
        Achieved(reading=1.5)
    with pytest.raises(ValueError, match="the stages are 0 to 3"):
        Training(zero=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="3 heads cannot share 2"):
        Shape(64, 2, 3, 2, 96, 100)
    with pytest.raises(ValueError, match="gpus is 0"):
        best_split(site(), 0)
    with pytest.raises(ValueError, match="staleness is -1"):
        best_split(site(), 8, staleness=-1)


@pytest.mark.parametrize(
    ("find", "wrong", "near"), [(shape_of, "Qwen2.5-7b", "Qwen2.5-7B"), (machine_of, "H10", "H100")]
)
def test_unknown_names_are_answered_with_near_ones(find: object, wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        find(wrong)  # type: ignore[operator]


# The page


@pytest.fixture(scope="module")
def blocks(repository: Path) -> dict[str, list[str]]:
    """The fenced blocks of docs/scaling.md by their language."""
    page = (repository / "docs" / "scaling.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        found.setdefault(language, []).append(text)
    return found


def test_the_page_program_runs(blocks: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks["python"]
    exec(program.replace("problems=256", "problems=16"), {})
    assert re.match(r"\d+ x tp\d \+ \d+ [\d.]+ \{", capsys.readouterr().out)


def test_the_page_recipe_has_knobs_that_exist(repository: Path, blocks: dict[str, list[str]]) -> None:
    from medrl.recipes import load_recipe

    knobs = yaml.safe_load(blocks["yaml"][1])
    overrides = [f"{section}={json.dumps(value)}" for section, value in knobs.items()]
    recipe = load_recipe(repository / "examples" / "huatuogpt_o1" / "tiny.yaml", overrides)
    assert recipe.placement == "ray" and recipe.cluster.engines.engines == 4 and recipe.cluster.learners.ranks == 16


def test_the_page_cluster_is_one_of_rays(blocks: dict[str, list[str]]) -> None:
    found = importlib.util.find_spec("ray")
    jsonschema = pytest.importorskip("jsonschema")
    if found is None or not found.submodule_search_locations:
        pytest.skip("Ray is not installed")
    schema = Path(found.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    jsonschema.validate(yaml.safe_load(blocks["yaml"][0]), json.loads(schema.read_text(encoding="utf-8")))
