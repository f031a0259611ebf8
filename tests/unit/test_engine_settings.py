"""Knobs of vLLM engines and of fleets of them, the probe's verdicts, and what else needs neither vLLM nor Ray to run."""

import asyncio
import math
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medrl.cluster.fleet import FleetSettings
from medrl.engines import Request, Sampling
from medrl.engines.stream import Inbox
from medrl.engines.vllm_requests import _one_placeholder_each, check_prompts, exact
from medrl.engines.vllm_settings import EngineSettings, ServedModel, arguments
from medrl.errors import EngineFailed, ProblemError, WeightDrift
from medrl.models import Policy, PolicySpec

SERVED = ServedModel("model", "float32", 128, 50, 64, (1,), (7,), None, sees=True, image_token=7)
FLOAT32 = EngineSettings()


def test_every_fault_of_the_settings_is_told() -> None:
    wrong: dict[str, Any] = {
        "max_num_seqs": 0, "kv_cache_gib": -1.0, "gpu_memory_utilization": 1.5, "midway": "guess", "dtype": "int8",
    }  # fmt: skip
    with pytest.raises(ValueError) as caught:
        EngineSettings(**wrong)
    assert all(name in str(caught.value) for name in wrong)
    with pytest.raises(ValueError, match=r"engines is 0.*hang_after is -1"):
        FleetSettings(engines=0, hang_after=-1.0)


@pytest.mark.parametrize("transfer", ["nccl", "ipc"])
def test_vllms_own_transfers_are_chosen_by_a_knob_and_need_cuda(transfer: Any) -> None:
    settings = EngineSettings(transfer=transfer, sleep_mode=True)
    told = arguments(SERVED, settings, cpu=False)
    assert told["weight_transfer_config"] == {"backend": f"medrl_{transfer}"}
    assert told["worker_extension_cls"] == "medrl.engines.vllm_weights.Extension", "which registers that engine"
    assert told["enable_sleep_mode"] and not told["enforce_eager"]
    with pytest.raises(ValueError, match="needs CUDA"):
        arguments(SERVED, settings, cpu=True)
    assert not arguments(SERVED, EngineSettings(sleep_mode=True), cpu=True)["enable_sleep_mode"]


def test_what_vllm_is_told() -> None:
    told = arguments(SERVED, EngineSettings(kv_cache_gib=0.5, max_model_len=100), cpu=True)
    assert told["kv_cache_memory_bytes"] == 2**29 and told["max_model_len"] == 100 and told["block_size"] == 32
    assert told["dtype"] == "float32" and told["logprobs_mode"] == "processed_logprobs" and told["enforce_eager"]
    assert told["weight_transfer_config"] == {"backend": "medrl_buckets"}
    on_gpu = arguments(SERVED, EngineSettings(tensor_parallel=4, dtype="bfloat16"), cpu=False)
    assert on_gpu["tensor_parallel_size"] == 4 and on_gpu["dtype"] == "bfloat16"
    assert told["enable_chunked_prefill"] is False and "enable_chunked_prefill" not in on_gpu
    assert arguments(SERVED, EngineSettings(max_batched_tokens=1), cpu=True)["max_num_batched_tokens"] == SERVED.context
    assert "kv_cache_memory_bytes" not in on_gpu and "block_size" not in on_gpu


def test_when_the_learner_would_compute_the_same() -> None:
    assert exact(SERVED, FLOAT32, Sampling())
    assert not exact(SERVED, FLOAT32, Sampling(top_k=5))
    assert not exact(SERVED, EngineSettings(dtype="bfloat16"), Sampling())
    assert not exact(replace(SERVED, dtype="bfloat16"), FLOAT32, Sampling())
    assert not exact(SERVED, EngineSettings(midway="keep"), Sampling())


def test_a_served_model_travels_and_decodes_as_the_policy(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy()
    served: ServedModel = pickle.loads(pickle.dumps(ServedModel.of(policy, tmp_path / "served")))
    ids = policy.tokenizer("give 500 mg of amoxicillin")["input_ids"]
    assert served.decode([*ids, *policy.stop_ids]) == policy.decode([*ids, *policy.stop_ids])
    assert (served.context, served.stop_ids, served.dtype) == (128, policy.stop_ids, "float32")
    assert (Path(served.folder) / "model.safetensors").is_file() and not served.sees


# Images: vLLM wants one placeholder for each, where the policy's prompt has as many as the image has patches


@pytest.mark.parametrize(
    ("ids", "images", "wanted"),
    [
        ((3, 7, 7, 7, 7, 4), 1, [3, 7, 4]),
        ((3, 7, 7, 4, 7, 7, 5), 2, [3, 7, 4, 7, 5]),
        ((3, 7, 7, 7, 7, 4), 2, [3, 7, 7, 4]),  # side by side
        ((7, 7, 7, 4, 7, 7, 7, 7, 7, 7), 3, [7, 4, 7, 7]),
    ],
)
def test_one_placeholder_for_each_image(ids: tuple[int, ...], images: int, wanted: list[int]) -> None:
    request = Request("p", 0, 0, ids, Sampling(), ("x.png",) * images)
    assert _one_placeholder_each(request, SERVED) == wanted


def test_placeholders_that_cannot_be_told_apart() -> None:
    with pytest.raises(ProblemError, match="3 image placeholders in 1 places for 2 images"):
        _one_placeholder_each(Request("p", 0, 0, (7, 7, 7), Sampling(), ("x.png", "y.png")), SERVED)
    with pytest.raises(ProblemError, match="text alone"):
        check_prompts([Request("p", 0, 0, (3,), Sampling(), ("x.png",))], replace(SERVED, sees=False), FLOAT32)
    for ids in ((), (3, 64), (3, -1)):
        with pytest.raises(ProblemError, match="empty or holds token ids beyond the 64"):
            check_prompts([Request("p", 0, 0, ids, Sampling())], SERVED, FLOAT32)
    with pytest.raises(ProblemError, match="128 tokens and the engine's context is 100"):
        check_prompts([Request("p", 0, 0, (3,) * 128, Sampling())], SERVED, EngineSettings(max_model_len=100))


# The probe


def probe(served: ServedModel = SERVED, **knobs: Any) -> Any:
    pytest.importorskip("ray")
    from medrl.cluster.weights import Probe, ProbeSettings

    return Probe(served, FLOAT32, ProbeSettings(**knobs))


def test_the_probe_is_the_same_in_every_run_and_holds_no_token_that_ends_or_is_barred() -> None:
    ids = probe().token_ids
    assert ids == probe().token_ids and len(ids) == 96 and not {1, 7} & set(ids) and max(ids) < 50
    assert len(probe(replace(SERVED, context=40)).token_ids) == 39


def test_engines_that_agree_pass_and_those_that_do_not_stop_the_run() -> None:
    one = probe()
    assert one.check(1, [-1.0, -2.0], {"a": [-1.0, -2.0], "b": [-1.0, -2.00001]}) == pytest.approx(1e-5)
    for bad in ([-1.0, -2.1], [math.nan, -2.0], [-1.0, -math.inf]):
        with pytest.raises(WeightDrift, match="b does not compute what the learner does at version 2"):
            one.check(2, [-1.0, -2.0], {"a": [-1.0, -2.0], "b": bad})


def test_an_engine_that_answers_as_before_though_the_learner_moved() -> None:
    one = probe()
    one.check(1, [-1.0, -2.0], {"a": [-1.0, -2.0]})
    with pytest.raises(WeightDrift, match=r"as before the sync, while the learner moved by 2e-05"):
        one.check(2, [-1.0, -2.00002], {"a": [-1.0, -2.0]})
    one.check(3, [-1.0, -2.00002], {"a": [-1.0, -2.00002]})
    one.check(4, [-1.0, -2.00002], {"a": [-1.0, -2.00002]})  # nobody moved
    one.check(5, [-1.0, -2.00004], {"another": [-1.0, -2.00002]})  # new in its place: nothing to compare with
    coarse = probe(replace(SERVED, dtype="bfloat16"))
    assert coarse.tolerance == 0.5
    coarse.check(1, [-1.0, -2.0], {"a": [-1.0, -2.2]})
    coarse.check(2, [-1.0, -2.1], {"a": [-1.0, -2.2]})  # a step below 16 bits


def test_with_16_bits_an_engine_that_stands_still_is_told_by_how_many_answers_of_the_learner_changed() -> None:
    old, few, most = [-1.0, -2.0, -3.0, -4.0], [-1.1, -2.0, -3.0, -4.1], [-1.1, -2.01, -3.0, -4.1]
    stale = {"a": [-1.0, -2.2, -3.0, -4.0]}
    one = probe(replace(SERVED, dtype="bfloat16"))
    one.check(1, old, stale)
    one.check(2, few, stale)  # half of them: a small step may do so, and leave the engine's rounding where it was
    one.check(3, most, {"a": [-1.0, -2.2, -3.0, -4.1]})
    one.check(4, old, stale)
    one.check(5, most, stale, lambda: [-1.0, -2.0, -3.0, -4.2])  # it answers twice otherwise, so it says nothing
    with pytest.raises(
        WeightDrift, match=r"a does .* at version 6: .*as before the sync, while the learner moved by 0.1"
    ):
        one.check(6, most, stale, lambda: most)
    one.check(7, old, stale)
    one.forget()  # a new learner, which rounds otherwise
    one.check(8, most, stale)


@pytest.mark.parametrize(("engine", "summed"), [("bfloat16", True), ("float16", False)])
def test_an_engine_that_rounds_what_the_learner_has_may_stand_still(engine: Any, summed: bool) -> None:
    pytest.importorskip("ray")
    from medrl.cluster.weights import Probe

    one = Probe(replace(SERVED, dtype="bfloat16"), EngineSettings(dtype=engine), summed=summed)
    one.check(1, [-1.0, -2.0], {"a": [-1.0, -2.0]})
    one.check(2, [-1.01, -2.01], {"a": [-1.0, -2.0]})


def test_a_learner_that_computes_in_bfloat16_is_not_taken_for_the_float32_of_its_folder(make_policy: Any) -> None:
    pytest.importorskip("ray")
    from medrl.cluster.ray_placement import served_model
    from medrl.cluster.weights import Probe

    policy, source = make_policy(), PolicySpec(path="/of/all/nodes")
    for bf16, tolerance in ((False, 1e-4), (True, 0.5)):
        served = served_model(policy, source, bf16=bf16)
        for engine in (EngineSettings(), FLOAT32):
            assert exact(served, engine, Sampling()) is not bf16 and Probe(served, engine).tolerance == tolerance
        assert arguments(served, EngineSettings(), cpu=True)["dtype"] == ("bfloat16" if bf16 else "float32")


# From threads to coroutines


def test_an_inbox_hands_on_all_that_any_thread_puts_in() -> None:
    async def main() -> list[int]:
        inbox: Inbox[int] = Inbox()
        threads = [threading.Thread(target=lambda k=k: [inbox.put(1000 * k + i) for i in range(500)]) for k in range(4)]
        for thread in threads:
            thread.start()
        found = [await inbox.get() for _ in range(1000)]
        while len(found) < 2000:
            found += await inbox.get_all(5.0)
        for thread in threads:
            thread.join()
        assert await inbox.get_all(0.01) == []
        return found

    found = asyncio.run(main())
    assert sorted(found) == sorted(1000 * k + i for k in range(4) for i in range(500))
    for k in range(4):  # each thread's own order is kept
        own = [entry for entry in found if entry // 1000 == k]
        assert own == sorted(own)


def test_an_inbox_raises_what_was_put_in_to_be_raised() -> None:
    async def main() -> None:
        inbox: Inbox[int] = Inbox()
        inbox.put(EngineFailed("it died"))
        await inbox.get()

    with pytest.raises(EngineFailed, match="it died"):
        asyncio.run(main())
