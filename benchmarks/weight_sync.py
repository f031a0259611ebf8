"""How long do new weights take from a learner to a vLLM engine in another process, on the CPU.

    python benchmarks/weight_sync.py [--rounds N] [--layers N] [--json FILE]

A Qwen2-type model of about a hundred million parameters (fp32, tied embeddings) in this process is the learner; the
engine is one of `RayEngines`, in a Ray actor on this machine. All is warm: two rounds before those that count. Each
round does these in turn; medians of the seconds and of the ratios within a round are printed:

copy        the bytes of all weights copied once, from and to memory that is mapped already. The unit of transport.
transport   the learner's buckets into Ray's object store, the references to the engine's process, and there every tensor
            opened as a view: what `RaySync` does before the engine begins to load.
reload      vLLM's bare layer-wise reload in the engine, of tensors that lie in its own memory, tied head packed again.
total       `RayEngines.update` with buckets fresh from the learner: transport and reload, between two engine steps.
probe       the check that ends a sync, on both sides; beside the total, since peers have none.
peer        the peers' way without GPUs: one remote call for each parameter, waited for, with the tensor as its argument;
            transport alone, nothing is loaded.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import fail, machine, print_machine, print_table, write_json

PARTS = ("copy", "transport", "reload", "total", "probe", "peer")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before them")
    parser.add_argument("--layers", type=int, default=12, help="12 make a hundred million parameters")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def make_policy(layers: int) -> Any:
    """A random model; its tokenizer is small, which no figure here depends on."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from medrl.models import Policy, train_tokenizer

    tokenizer = train_tokenizer(["fever, cough and chest pain"], 320)
    config = Qwen2Config(
        vocab_size=16384,
        hidden_size=768,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=4,
        intermediate_size=2560,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    return Policy(Qwen2ForCausalLM(config).eval(), tokenizer, name="a hundred million")


class Learner:
    """The torch model as `RaySync` sees a learner."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def named(self) -> list[tuple[str, Any]]:
        return list(self.model.named_parameters())  # the tied head once, under the embedding's name

    def weights(self, kind: str = "full") -> Iterator[Any]:
        from medrl.models.buckets import lend

        return lend(self.named())

    def probe_logprobs(self, token_ids: Sequence[int]) -> list[float]:
        import torch

        ids = torch.tensor([list(token_ids)])
        with torch.no_grad():
            logprobs_TV = self.model(ids).logits[0, :-1].float().log_softmax(-1)
        found: list[float] = logprobs_TV.gather(-1, ids[0, 1:, None])[:, 0].tolist()
        return found


# What runs in the engine's actor; Ray carries these functions there, the first argument is the actor.


def opened(actor: Any, refs: Sequence[Any]) -> int:
    """Every tensor of the buckets as a view; how many there are."""
    import ray

    return sum(1 for bucket in ray.get(refs) for _ in bucket.tensors())


def keep(actor: Any, refs: Sequence[Any]) -> None:
    """Copies of all tensors in the actor's own memory, for `reloaded`."""
    import ray

    actor.kept = [(name, tensor.clone()) for bucket in ray.get(refs) for name, tensor in bucket.tensors()]


def reloaded(actor: Any) -> float:
    """Seconds of vLLM's bare layer-wise reload of what `keep` kept."""
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

    from medrl.engines.vllm_weights import repack_tied

    def work(engine: Any) -> float:
        worker = engine.model_executor.driver_worker.worker
        model, begun = worker.get_model(), time.perf_counter()
        with set_current_vllm_config(worker.vllm_config):
            initialize_layerwise_reload(model)
            model.load_weights(iter(actor.kept))
            finalize_layerwise_reload(model, worker.model_config)
            repack_tied(model)
        return time.perf_counter() - begun

    seconds: float = actor._engine._loop.call(work).result()
    return seconds


def received(actor: Any, name: str, tensor: Any) -> None:
    """What a per-parameter call carries."""


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, list[float]], float, int]:
    """Seconds of each part in each round; MiB; how many parameters (tensors) there are."""
    import ray
    import torch

    from medrl.cluster.engines import RayEngines
    from medrl.cluster.weights import RaySync, put
    from medrl.engines.vllm_settings import EngineSettings, ServedModel

    torch.set_num_threads(1)
    policy = make_policy(options.layers)
    learner = Learner(policy.model)
    engines = RayEngines(ServedModel.of(policy, folder / "model"), EngineSettings(max_num_seqs=16))
    actor = engines._desk.slots[0].actor
    sync = RaySync(learner, engines)
    sync.publish(1)
    ray.get(actor.__ray_call__.remote(keep, [put(bucket) for bucket in learner.weights()]))
    places = [torch.empty_like(tensor) for _, tensor in learner.named()]
    mib = sum(place.numel() * place.element_size() for place in places) / 2**20

    def copy() -> None:
        with torch.no_grad():
            for place, (_, tensor) in zip(places, learner.named(), strict=True):
                place.copy_(tensor)

    def transport() -> None:
        count = ray.get(actor.__ray_call__.remote(opened, [put(bucket) for bucket in learner.weights()]))
        assert count == len(places)

    def total() -> None:
        engines.update([put(bucket) for bucket in learner.weights()], engines.version + 1)

    def probe() -> None:
        learner.probe_logprobs(sync.probe.token_ids)
        engines.probe(sync.probe.token_ids)

    def peer() -> None:
        for name, tensor in learner.named():
            ray.get(actor.__ray_call__.remote(received, name, tensor.detach().numpy()))

    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    works: dict[str, Callable[[], None]] = dict(
        zip(("copy", "transport", "total", "probe", "peer"), (copy, transport, total, probe, peer), strict=True)
    )
    for turn in range(options.warmup + options.rounds):
        for part in PARTS:
            begun = time.perf_counter()
            spent = ray.get(actor.__ray_call__.remote(reloaded)) if part == "reload" else works[part]()
            spent = spent if part == "reload" else time.perf_counter() - begun
            if turn >= options.warmup:
                seconds[part].append(spent)
    sync.publish(engines.version + 1)  # and after all of it the engine computes what the learner does
    engines.close()
    return seconds, mib, len(places)


def ratio(seconds: dict[str, list[float]], part: str, unit: str) -> float:
    """The median over the rounds: what else runs on the machine disturbs both of a round alike."""
    return statistics.median(a / b for a, b in zip(seconds[part], seconds[unit], strict=True))


def main() -> None:
    options = arguments()
    import ray

    ray.init(address="local", include_dashboard=False, num_cpus=2, log_to_driver=False, logging_level="ERROR")
    try:
        with TemporaryDirectory() as folder:
            seconds, mib, tensors = measure(options, Path(folder))
    finally:
        ray.shutdown()
    if not seconds["copy"]:
        fail("no round counted; take --rounds 1 or more")
    median = {part: statistics.median(values) for part, values in seconds.items()}
    figures: dict[str, Any] = {
        "transport_over_copy": round(ratio(seconds, "transport", "copy"), 2),
        "total_over_reload": round(ratio(seconds, "total", "reload"), 3),
        "peer_transport_over_copy": round(ratio(seconds, "peer", "copy"), 2),
        "probe_over_reload": round(ratio(seconds, "probe", "reload"), 3),
        **{f"{part}_ms": round(1000 * value, 1) for part, value in median.items()},
        "mib": round(mib, 1),
        "tensors": tensors,
        "rounds": options.rounds,
    }
    print(f"{mib:.0f} MiB of weights in {tensors} tensors; medians of {options.rounds} rounds")
    rows = [
        [
            part,
            f"{1000 * median[part]:.1f}",
            f"{1000 * min(seconds[part]):.1f}",
            f"{1000 * max(seconds[part]):.1f}",
            f"{ratio(seconds, part, 'copy'):.2f}",
            f"{ratio(seconds, part, 'reload'):.3f}",
        ]
        for part in PARTS
    ]
    print_table(("", "ms", "least", "most", "copies", "reloads"), rows)
    print_machine(machine())
    write_json(options.json, {**figures, **machine()})


if __name__ == "__main__":
    main()
