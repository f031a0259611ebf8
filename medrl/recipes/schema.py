"""What a recipe may say. Each section is the very dataclass that the code uses, so its knobs are documented there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from medrl.cluster.settings import ClusterSettings
from medrl.data.clinic.demonstrations import CHAINS
from medrl.engines.base import Sampling
from medrl.evaluation.evaluate import EvaluationSettings
from medrl.learners.base import Optimization
from medrl.models.policy import PolicySpec
from medrl.rollouts.teacher import Teacher
from medrl.trainers.settings import TrainerSettings
from medrl.trainers.sft import SFTSettings

CLINIC = "clinic"
PATIENTS = "patients"
GENERATED = (CLINIC, PATIENTS)  # no file and no id


@dataclass(frozen=True)
class ProblemSource:
    """Where problems come from: the simulated clinic, a file, or a data set of the hub."""

    source: str = "clinic"
    """`clinic`, `patients` (those of the clinic, to be consulted: needs an environment), the path of a .jsonl, .json, .csv or
    .parquet file, or a hub id."""

    split: str = "train"
    """For the clinic `train` or `held_out`; for the hub the split's name. A file is read whole."""

    limit: int | None = None
    """Read only this many rows of a file or hub data set."""

    skip: int = 0
    """Leave out so many rows from the head, e.g. to keep the head of one file for evaluation."""

    undemonstrated: bool = False
    """Of `problems`: leave out those whose whole prompt a demonstration answers, word for word but for an `instruction`, so
    that RL asks what SFT has not shown. The run says how many, and refuses to begin where there is
    no such problem."""

    config: str | None = None
    """Configuration of a hub data set, e.g. `en`."""

    schema: str = "auto"
    """Published schema of the rows; `auto` tells it by the columns."""

    prompt: str | None = None
    """Column of the question, where the schema is not a known one."""

    reference: str | None = None
    """Column of the right answer, where the schema is not a known one."""

    options: str | None = None
    """Column of a choice question's options, where the schema is not a known one."""

    instruction: str | None = None
    """Text put below every question, e.g. to ask for the format that the reward wants. Rows in medrl's own schema keep
    their prompts as they are."""

    language: Literal["en", "zh"] | None = None
    """Language of all rows of a file; empty tells it from each question."""

    shuffle_references: bool = False
    """A control: deal the references out to other problems of the same kind, so that there is nothing to learn."""

    count: int = 1000
    """Clinic: how many problems to generate."""

    seed: int = 0
    """Clinic: another seed gives other problems."""

    kinds: tuple[str, ...] = ("term",)
    """Clinic: kinds of answers, of term, choice, number, yes_no, set."""

    languages: tuple[str, ...] = ("en", "zh")
    """Clinic: languages of the questions."""

    topics: tuple[str, ...] | None = None
    """Clinic: topics, e.g. diagnosis, treatment, department; empty for the usual ones of each kind."""

    diseases: int | None = None
    """Clinic: only the first so many diseases; fewer are easier. Typical 20 to 109."""

    findings_shown: tuple[int, int] = (4, 6)
    """Clinic: fewest and most findings of a patient that are told; fewer are harder."""

    heldout_templates: bool = True
    """Clinic, split `held_out`: wordings that training never uses, too; off holds out the patients only."""

    def __post_init__(self) -> None:
        of_files = ("limit", "skip", "config", "schema", "prompt", "reference", "options", "language")
        faults = _unread_by_the_clinic(self, of_files)
        if self.skip < 0:
            faults.append(f"skip is {self.skip}, below 0")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class DemonstrationSource:
    """Where demonstrations for SFT come from."""

    source: str = "clinic"
    """`clinic`, `patients` (consultations of a scripted doctor), a file, or a hub id such as
    FreedomIntelligence/medical-o1-reasoning-SFT."""

    split: str = "train"
    """Split of a hub data set."""

    limit: int | None = None
    """Read only this many rows of a file or hub data set."""

    config: str | None = None
    """Configuration of a hub data set, e.g. `en`."""

    schema: str = "auto"
    """Published schema of the rows; `auto` tells it by the columns."""

    instruction: str | None = None
    """Text put below every question; the same as for the problems. Empty, the clinic's take that of the problems."""

    count: int = 1000
    """Clinic: how many demonstrations."""

    seed: int = 100
    """Clinic: seed of the demonstrated problems, another than that of the problems to train on."""

    wrong_share: float = 0.0
    """Clinic: share whose conclusion is wrong, one fixed set, as imperfect demonstrations are. Typical 0 to 0.5."""

    chain: str = "simple"
    """Clinic: the reasoning before the response: `simple`, `complex` (an idea, its verification, another idea) or `none`."""

    def __post_init__(self) -> None:
        faults = _unread_by_the_clinic(self, ("limit", "config", "schema"))
        if self.chain not in CHAINS:
            faults.append(f"chain is {self.chain!r}; it is one of {', '.join(CHAINS)}")
        if not 0.0 <= self.wrong_share <= 1.0:
            faults.append(f"wrong_share is {self.wrong_share}; it is a share from 0 to 1")
        if faults:
            raise ValueError("; ".join(faults))


def _unread_by_the_clinic(source: ProblemSource | DemonstrationSource, names: Sequence[str]) -> list[str]:
    """Knobs of files that were set for the clinic, which does not read them: whoever set one believes that it works.

    The other way round is no fault, so that a recipe of the clinic can be pointed at a file by `source` alone.
    """
    defaults = {knob.name: knob.default for knob in fields(source)}
    found = [name for name in names if source.source in GENERATED and getattr(source, name) != defaults[name]]
    return [f"`{name}` has no effect on the clinic; leave it out" for name in found]


def _not_on_ray(cluster: ClusterSettings, max_staleness: int) -> list[str]:
    """Knobs of engines that a run on Ray does not serve, or that would stop it in the middle."""
    faults = []
    if cluster.engine.sleep_mode and not cluster.colocate:
        faults.append(
            "cluster.engine.sleep_mode: engines and ranks have GPUs of their own, and no run puts them to sleep; "
            "cluster.colocate=true has them take turns on the same ones"
        )
    engine, gpus = cluster.engine, cluster.engines.gpus
    if not cluster.colocate and 0 < gpus < engine.tensor_parallel and engine.tensor_parallel > 1:
        faults.append(
            f"cluster.engine.tensor_parallel is {engine.tensor_parallel} and cluster.engines.gpus is {gpus:g}: each part of "
            f"a layer needs a GPU of its own, so give engines.gpus={engine.tensor_parallel}"
        )
    if not engine.from_checkpoint:
        faults.append(
            "cluster.engine.from_checkpoint is false, and engines sample from the start policy before any weights are "
            "sent: leave it true"
        )
    if max_staleness and cluster.colocate:
        faults.append(
            f"max_staleness is {max_staleness}, but with cluster.colocate engines sleep while the learner computes, so every "
            "rollout is of the present policy: take 0, or GPUs for each"
        )
    if max_staleness and cluster.engine.midway == "refuse":
        faults.append(
            "cluster.engine.midway is refuse, and with max_staleness above 0 weights change midway: recompute"
        )
    return faults


def _unfit_transfer(placement: str, cluster: ClusterSettings, lora: bool) -> list[str]:
    """Why this run cannot send weights by vLLM's own transfer that it asks for."""
    transfer, faults = cluster.engine.transfer, []
    if transfer == "buckets":
        return []
    if placement != "ray":
        faults.append(f"placement is {placement}, where nothing is sent: take placement=ray")
    if not (cluster.engines.gpus and cluster.learners.gpus):
        faults.append(
            f"it sends from GPU to GPU, and engines.gpus is {cluster.engines.gpus:g} and learners.gpus "
            f"{cluster.learners.gpus}: it needs CUDA on both sides"
        )
    if transfer == "ipc" and not cluster.colocate:
        faults.append("an engine reads the memory of a rank on its own GPU: take colocate=true, or nccl for GPUs apart")
    if transfer == "nccl" and cluster.colocate:
        faults.append("NCCL has no two members on one GPU: with colocate take ipc")
    if lora and cluster.adapters_only:
        faults.append("it sends whole weights: with optimization.lora take adapters_only=false")
    return [f"cluster.engine.transfer is {transfer}: {fault}; or take buckets" for fault in faults]


@dataclass(frozen=True)
class Recipe:
    """Everything of a run."""

    name: str
    """Name of the run; its folder is runs/NAME unless `folder` says otherwise."""

    reward: Mapping[str, Any] | str
    """The reward tree: `{type: NAME, knob: value, ...}`, nested."""

    problems: ProblemSource
    """What the policy is trained on."""

    policy: PolicySpec = field(default_factory=PolicySpec)
    """What is trained."""

    held_out: ProblemSource | None = None
    """What it is evaluated on; must not overlap with the problems."""

    demonstrations: DemonstrationSource | None = None
    """What SFT learns from."""

    sft: SFTSettings | None = None
    """Supervised fine-tuning before the reinforcement learning; empty for none."""

    environment: Mapping[str, Any] | str | None = None
    """What answers the policy between turns: `{type: NAME, knob: value, ...}`, the name being patient, llm_patient or
    single_turn; empty for problems that one response answers."""

    sampling: Sampling = field(default_factory=Sampling)
    """How training responses are drawn; with an environment, each turn."""

    algorithm: Mapping[str, Any] | str = field(default_factory=lambda: {"type": "grpo"})
    """`{type: NAME, knob: value, ...}`, the name being grpo, dapo, onepo, dr_grpo, gspo, cispo, rloo, reinforce_pp,
    reinforce_pp_baseline or ppo; a `preset` sets the knobs of a paper first, e.g. `{type: ppo, preset: huatuogpt_o1}`."""

    teacher: Teacher | None = None
    """Whose answers may take places in groups, until the policy's are as good (HuatuoGPT-3); goes with `algorithm: onepo`.
    `teacher: {}` takes the answers in column `teacher_response`; empty for none."""

    optimization: Optimization = field(default_factory=Optimization)
    """How gradients become weights."""

    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    """The loop."""

    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    """How held-out problems are asked."""

    placement: Literal["local", "ray"] = "local"
    """Where engine and learner run: `local`, both in this process over one module; `ray`, vLLM engines and DeepSpeed ranks on
    a Ray cluster, as `cluster` says."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    """Engines, ranks and reward actors, with `placement: ray`."""

    max_staleness: int = 0
    """Versions by which rollouts may be behind the policy that trains on them: 0 is on-policy, and all that `local` can do.
    Above 0 sampling goes on while the learner trains. Typical 1 to 4."""

    max_rows: int = 256
    """Responses that the engine writes at the same time; bounds memory. Typical 64 to 512."""

    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Further places for metrics: tensorboard, wandb."""

    seed: int = 0
    """Decides every draw of the run."""

    threads: int | None = None
    """CPU threads of torch; empty for all cores. Runs are bit-reproducible at a fixed number."""

    folder: str | None = None
    """Run folder; empty for runs/NAME."""

    resume: bool = False
    """Go on with the run in that folder from its latest checkpoint; begins one where there is none."""

    @property
    def sft_only(self) -> bool:
        """Whether nothing is sampled: there is no step of reinforcement learning, and nothing to evaluate on."""
        return not self.trainer.steps and self.held_out is None

    def __post_init__(self) -> None:
        faults = []
        if self.max_staleness < 0:
            faults.append(f"max_staleness is {self.max_staleness}; it is a number of versions, at least 0")
        elif self.max_staleness and self.placement == "local":
            faults.append(
                f"max_staleness is {self.max_staleness}; with placement local every rollout is of the present policy, "
                "so it must be 0"
            )
        if self.teacher is not None and self.environment is not None:
            faults.append("teacher: it answers in one turn, and `environment` asks for several; leave one of them out")
        if self.placement == "ray":
            faults += _not_on_ray(self.cluster, self.max_staleness)
            if self.policy.dtype != "float32" and not self.cluster.deepspeed.bf16:
                faults.append(
                    f"cluster.deepspeed.bf16 is off and policy.dtype is {self.policy.dtype}: ranks would keep no "
                    "float32 weights in checkpoints and add gradients up in 16 bits; set cluster.deepspeed.bf16=true, or "
                    "policy.dtype=float32"
                )
        faults += _unfit_transfer(self.placement, self.cluster, self.optimization.lora is not None)
        if self.policy.path is None and self.policy.new is None:
            faults.append("policy: give `path` (a folder or hub id) or `new` (the shape of a model from scratch)")
        if self.policy.path is not None and self.policy.new is not None:
            faults.append("policy: `path` and `new` exclude each other; give one")
        if self.sft is not None and self.demonstrations is None:
            faults.append("sft: there is nothing to learn from; give `demonstrations`, or leave `sft` out")
        if self.problems.undemonstrated and self.demonstrations is None:
            faults.append(
                "problems.undemonstrated: leaves out what `demonstrations` ask, of which there are none; give them"
            )
        if self.held_out is not None and self.held_out.undemonstrated:
            faults.append("held_out.undemonstrated: held-out problems are never trained on; leave it out")
        if self.threads is not None and self.threads < 1:
            faults.append(f"threads is {self.threads}; give at least 1, or leave it out for all cores")
        if self.max_rows < 1:
            faults.append(f"max_rows is {self.max_rows}; the engine needs at least 1")
        if not self.name or self.name.startswith(".") or "/" in self.name:
            faults.append(f"name is {self.name!r}; it names a folder, so give letters, digits, - and _")
        if faults:
            raise ValueError("; ".join(faults))
