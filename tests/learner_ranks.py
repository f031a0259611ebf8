"""One rank of a DeepSpeed group, as a program: `python learner_ranks.py RANK RANKS PORT FOLDER CASES.json`.

Each case trains the policy of FOLDER on FOLDER/batches.pt and leaves NAME.json and NAME.safetensors there. One start serves
all cases, since imports take longer than the training.
"""

import faulthandler
import gc
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from medrl.algorithms import GRPO, PPO, Algorithm, Batch
from medrl.errors import CheckpointError, LearnerLost, TrainingDiverged, UpdateBrokenOff
from medrl.learners import CriticSettings, LoRA, Optimization, TorchLearner
from medrl.learners.deepspeed_engine import Engine
from medrl.learners.deepspeed_learner import DeepSpeedLearner
from medrl.learners.deepspeed_settings import DeepSpeedSettings
from medrl.learners.torch_learner import probe_batch
from medrl.models import Policy

Shares = list[float]
ALGORITHMS: dict[str, Algorithm] = {
    "grpo": GRPO(kl_coef=0.05),
    "ppo": PPO(kl_coef=0.05, kl_in="loss"),
    "ppo2": PPO(kl_coef=0.05, kl_in="loss", epochs=2, minibatches=2),
}
HANGS_S = 1500  # then every thread's stack is printed
PROBE = (5, 6, 7, 8, 9, 10)


def optimization(knobs: dict[str, Any]) -> Optimization:
    """Settings under which a wrong norm, a wrong decay or a wrong split into micro-batches shows in the weights."""
    made: dict[str, Any] = {"lora": LoRA, "critic": CriticSettings}
    parts = {name: cls(**knobs[name]) for name, cls in made.items() if name in knobs}
    base = {"lr": 1e-3, "microbatch_tokens": 40, "max_grad_norm": 0.3, "weight_decay": 0.1, "warmup_steps": 4}
    return Optimization(**{**base, **knobs, **parts})


def train(
    learner: TorchLearner, batches: list[Batch], first: int = 0, algorithm: str = "grpo", shared: Shares | None = None
) -> list[dict[str, float]]:
    """One update on each batch; its metrics, but those of the machine. `shared` takes the share of tokens passed once."""
    rows, chosen = list[dict[str, float]](), ALGORITHMS[algorithm]
    for step, batch in enumerate(batches, first):
        ready = chosen.advantages(learner.forward(batch, chosen.needs), {})
        metrics = learner.update(ready, chosen, step)
        if shared is not None:
            shared.append(metrics["time/learner/shared_tokens"])
        rows.append({name: value for name, value in metrics.items() if not name.startswith("time/")})
    return rows


def diverge(learner: DeepSpeedLearner, batch: Batch, algorithm: str) -> str:
    """Try an update in which one row, on one rank, has no finite loss; or, of a critic, a gradient on one rank is not finite.

    Returns what is said.
    """
    chosen, critic = ALGORITHMS[algorithm], learner.critic
    ready = chosen.advantages(learner.forward(batch, chosen.needs), {})
    assert ready.advantages_BT is not None
    kept = critic and critic.values
    if critic is not None and learner.rank == learner.ranks - 1:

        def values(*arguments: Any) -> torch.Tensor:
            found: torch.Tensor = kept(*arguments)
            found.register_hook(lambda gradient: gradient * math.nan)
            return found

        critic.values = values  # type: ignore[method-assign]
    elif critic is None:
        ready.advantages_BT[int(ready.advantages_BT.abs().sum(-1).argmax())] *= math.nan
    try:
        learner.update(ready, chosen, 0)
    except TrainingDiverged as error:
        return str(error)
    finally:
        if critic is not None:
            critic.values = kept  # type: ignore[method-assign]
    return "it did not"


def everything(learner: DeepSpeedLearner) -> dict[str, torch.Tensor]:
    """Weights, moments and the critic, whole; on rank 0."""
    weights = {name: t.clone() for bucket in learner.weights("full") for name, t in bucket.tensors()}
    rows = [row for engine in learner.engines for row in engine.state.rows(masters=learner.zero.bf16)]
    critic = [] if learner.critic is None else learner.critic.weight_rows()
    return weights | {name: t.clone() for name, t in (*rows, *critic)}


def break_off(learner: DeepSpeedLearner, batch: Batch, algorithm: str) -> dict[str, Any]:
    """Interrupt one rank after the first of an update's two optimizer steps; what that leaves."""
    chosen = replace(ALGORITHMS[algorithm], minibatches=2)
    ready = chosen.advantages(learner.forward(batch, chosen.needs), {})
    before, updates, step, moved = everything(learner), learner.updates, learner._step, False

    def interrupted(minibatch: Batch, one: Algorithm) -> Any:
        nonlocal moved
        found = step(minibatch, one)
        half = everything(learner)
        moved = any(not torch.equal(half[name], before[name]) for name in half)
        if learner.rank == learner.ranks - 1:
            learner.interrupt()
        return found

    learner._step = interrupted  # type: ignore[method-assign]
    said: dict[str, Any] = {"broken": "", "refused": "", "moved": False}
    try:
        learner.update(ready, chosen, 0)
    except UpdateBrokenOff as error:
        said["broken"] = str(error)
    learner.interrupt(False)
    after = everything(learner)
    said |= {"moved": moved, "undone": all(torch.equal(after[name], before[name]) for name in before)}
    said["counted"] = learner.updates - updates
    try:
        learner.update(ready, chosen, 0)
    except LearnerLost as error:
        said["refused"] = str(error)
    return said


def of_critic(learner: TorchLearner) -> dict[str, torch.Tensor]:
    """The critic's weights, whole, and its values of the probe."""
    if learner.critic is None:
        return {}
    values_BT = learner.forward(probe_batch(PROBE), {"values"}).values_BT
    assert values_BT is not None
    return {"values": values_BT, **{f"critic.{name}": t.clone() for name, t in learner.critic.weight_rows()}}


def held(engine: Engine) -> list[int]:
    """Bytes that a rank has of an engine's weights, gathered ones let go, and of its moments."""
    engine.state.let_go()
    weights = [part for weight in engine.weights.values() for part in (weight.data, getattr(weight, "ds_tensor", None))]
    moments = [state[key] for state in engine.state.adam.state.values() for key in ("exp_avg", "exp_avg_sq")]
    storages = [{t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in some if t is not None and t.numel()}
                for some in (weights, moments)]  # fmt: skip
    return [sum(one.values()) for one in storages]


def run(case: dict[str, Any], folder: Path, batches: list[Batch]) -> None:
    policy = Policy.load(str(folder / "policy"))
    learner = DeepSpeedLearner(
        policy, optimization(case.get("optimization", {})), DeepSpeedSettings(**case["zero"]), reference=True
    )
    said: dict[str, Any] = {"rows": [], "shared": []}
    first, last = case.get("steps", [0, len(batches)])
    if "load" in case:
        try:
            learner.load(folder / case["load"])
        except CheckpointError as error:
            said["refused"] = str(error)
    for step in range(first, last):
        if step == case.get("save_at"):
            checkpoint = folder / case["name"]
            if learner.rank == 0:
                checkpoint.mkdir()
            dist.barrier()
            learner.save(checkpoint)
        if step == case.get("diverge_at"):
            said["diverged"] = diverge(learner, batches[step], case.get("algorithm", "grpo"))
        if step == case.get("break_at"):
            said["broke"] = break_off(learner, batches[step], case.get("algorithm", "grpo"))
            break
        said["rows"] += train(learner, batches[step : step + 1], step, case.get("algorithm", "grpo"), said["shared"])
    said |= {"probe": learner.probe_logprobs(PROBE), "updates": learner.updates}
    weights = {name: t.clone() for bucket in learner.weights() for name, t in bucket.tensors()}
    if "lora" in case.get("optimization", {}):
        weights |= {name: t.clone() for bucket in learner.weights("adapter") for name, t in bucket.tensors()}
    if learner.critic is not None:
        weights |= of_critic(learner)
        every: list[Any] = [None] * learner.ranks
        dist.all_gather_object(every, held(learner.critic.engine))
        said["held"] = every
    if learner.rank == 0:
        save_file(weights, folder / f"{case['name']}.safetensors")
        (folder / f"{case['name']}.json").write_text(json.dumps(said))
    learner.close()
    del learner, policy
    gc.collect()  # on all ranks at the same place: an engine that goes in the middle of another's work takes part in it
    dist.barrier()


def main() -> None:
    rank, ranks, port, place, cases = sys.argv[1:]
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    torch.set_num_threads(1)
    os.environ.update(RANK=rank, WORLD_SIZE=ranks, LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    dist.init_process_group("gloo", rank=int(rank), world_size=int(ranks))
    folder = Path(place)
    batches = torch.load(folder / "batches.pt", weights_only=False)
    for case in json.loads((folder / cases).read_text()):
        run(case, folder, batches)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
