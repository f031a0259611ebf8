"""`VLLMChat`: a chat model in this process, by vLLM, behind the same `ChatClient` protocol as a server.

For judges on a machine of their own, or beside a policy, without a server to look after. vLLM takes hold of its process
(`torch.distributed`, on the CPU the number of threads too); where a learner needs these for itself, run `vllm serve`
and take the `openai` client.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrl.chat.base import ChatReply, ChatRequest
from medrl.chat.config import KnobbedChat, digest
from medrl.engines.vllm_chat_engine import ChatEngine
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.verifiers.classifier_model import folder_digest

# What replies may depend on in a model's folder.
CONTENTS = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class VLLMChat(KnobbedChat):
    """One model, loaded into this process."""

    model: str = ""
    """Folder or hub id of the model; its tokenizer must have a chat template."""
    revision: str | None = None
    """Commit, branch or tag of a hub model."""
    dtype: str = "auto"
    """Of the weights: "auto", "bfloat16", "float16", "float32". On the CPU "auto" is float32, so that equal requests give
    equal replies."""
    context: int | None = None
    """Longest prompt and reply together, in tokens; empty is the model's own."""
    concurrency: int = 64
    """The most requests in the engine at once; others wait. Typical 16 to 256."""
    timeout: float = 300.0
    """Seconds from when a request enters the engine to the end of its reply. Typical 30 to 600."""
    gpu_memory: float = 0.9
    """Share of a GPU's memory that vLLM takes; smaller beside a policy in training. Typical 0.2 to 0.9."""
    eager: bool = False
    """Whether to run without compilation: a start in seconds, and slower replies."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Further variables of the chat template, such as {enable_thinking: false}."""
    _shared: ChatEngine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("concurrency", "timeout", "gpu_memory"))
        if self.context is not None:
            faults += out_of_range(self, above_0=("context",))
        if self.gpu_memory > 1:
            faults.append(f"gpu_memory is {self.gpu_memory}; it is a share, at most 1")
        if not self.model:
            faults.append("model is empty; name a folder or a hub id")
        if faults:
            raise RecipeError("VLLMChat", faults)
        self._begin()

    def _begin(self) -> None:
        object.__setattr__(self, "_shared", ChatEngine(self))

    def fingerprint(self) -> str:
        folder = Path(self.model)
        weights = folder_digest(folder, CONTENTS) if folder.is_dir() else [self.model, self.revision]
        return digest(["vllm", weights, self.dtype, dict(self.template_options)])

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await asyncio.wrap_future(self._shared.submit(request))

    async def close(self) -> None:
        await asyncio.to_thread(self._shared.stop)
