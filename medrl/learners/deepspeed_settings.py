"""The knobs of the DeepSpeed learner: how a policy is shared out over ranks."""

from dataclasses import dataclass
from typing import Any, Literal

import torch


@dataclass(frozen=True)
class DeepSpeedSettings:
    """How a policy is shared out over ranks."""

    stage: Literal[0, 1, 2, 3] = 2
    """ZeRO: 0 shares nothing, 1 the moments of AdamW, 2 gradients too, 3 weights too (least memory, most traffic)."""

    offload: Literal["none", "optimizer", "all"] = "none"
    """What lives in the CPU's memory beside a GPU: nothing, moments and fp32 weights, or (stage 3) all weights too."""

    bf16: bool = False
    """Compute in bfloat16, with fp32 weights beside for AdamW. Halves memory and traffic of weights; stage 2 or 3."""

    bucket_mib: int = 128
    """MiB of gradients (and with stage 3 of weights) that travel at once. Typical 64 to 512."""

    def __post_init__(self) -> None:
        faults = []
        if self.stage not in (0, 1, 2, 3):
            faults.append(f"stage is {self.stage!r}; it is 0, 1, 2 or 3")
        if self.offload not in ("none", "optimizer", "all"):
            faults.append(f"offload is {self.offload!r}; it is none, optimizer or all")
        elif self.offload == "optimizer" and self.stage == 0:
            faults.append("offload=optimizer needs stage 1, 2 or 3")
        elif self.offload == "all" and self.stage != 3:
            faults.append("offload=all needs stage 3")
        if self.bf16 and self.stage < 2:
            faults.append("bf16 needs stage 2 or 3; on one rank they cost nothing")
        if self.bucket_mib < 1:
            faults.append(f"bucket_mib is {self.bucket_mib}; it must be at least 1")
        if faults:
            raise ValueError("deepspeed: " + "; ".join(faults))

    def config(self, max_grad_norm: float) -> dict[str, Any]:
        """DeepSpeed's own configuration of a model whose gradient has this bound; the learner says when it steps."""
        elements = self.bucket_mib * 2**20 // (2 if self.bf16 else 4)
        zero: dict[str, Any] = {
            "stage": self.stage,
            "reduce_bucket_size": elements,
            "allgather_bucket_size": elements,
            "stage3_prefetch_bucket_size": elements,
            "overlap_comm": torch.cuda.is_available(),
        }
        memory = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
        if self.offload != "none":
            zero["offload_optimizer"] = memory
        if self.offload == "all":
            zero["offload_param"] = memory
        return {
            "train_micro_batch_size_per_gpu": 1,
            "managed_gradient_accumulation": False,
            "gradient_clipping": max_grad_norm,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "steps_per_print": None,
            **({"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}} if self.bf16 else {}),
        }
