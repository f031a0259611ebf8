"""The thread behind `VLLMChat`: it owns vLLM's engine and steps it, so that all callers share one batch.

Requests wait in a queue until there is a place; the deadline of each counts from then on. Replies keep a JSON schema by
vLLM's structured outputs, and each is drawn from its own seed. An engine that dies fails what is under way, and the next
request starts a fresh one.
"""

import time
from typing import TYPE_CHECKING, Any

from medrl.chat.base import (
    ChatBadReply,
    ChatError,
    ChatRefused,
    ChatReply,
    ChatRequest,
    ChatTimedOut,
    ChatUnavailable,
)
from medrl.chat.openai_wire import sendable
from medrl.engines.chat_thread import ChatThread, Job
from medrl.engines.vllm_start import collect, end, on_cpu, prepare, start

if TYPE_CHECKING:
    from medrl.engines.vllm_chat import VLLMChat


class ChatEngine(ChatThread):
    """The thread that owns vLLM's engine."""

    def __init__(self, chat: "VLLMChat") -> None:
        super().__init__(chat.model)
        self._chat = chat
        self._running: dict[str, Job] = {}
        self._count = 0

    def _run(self) -> None:
        why: Exception | None = None
        engine: Any = None
        try:
            engine = _load(self._chat)
            while self._admit(engine):
                self._step(engine)
        except Exception as error:  # whatever an engine dies of, those who wait must hear of it
            why = error
        finally:
            if engine is not None:
                end(engine)
            del engine
            collect()
            under_way, self._running = self._running, {}
            self._hang_up(why, under_way.values())  # last, so that no other engine starts before the memory is free

    def _admit(self, engine: Any) -> bool:
        """Take in what waits, wait where nothing is to be done; False when it is time to stop."""
        with self._wake:
            while not self._stopping and not self._waiting and not self._running:
                self._wake.wait()
            if self._stopping:
                return False
            free = self._chat.concurrency - len(self._running)
            jobs = [self._waiting.popleft() for _ in range(min(free, len(self._waiting)))]
        for job in jobs:
            if job.future.cancelled():
                continue
            self._count += 1
            name = str(self._count)
            try:
                job.prompt_tokens = _enter(engine, name, job.request, self._chat)
            except Exception as error:  # this request's fault; an engine that is dead says so at its next step
                refused = ChatRefused(
                    f"{self._chat.model} does not take this request ({type(error).__name__}: {error})"
                )
                job.end(error if isinstance(error, ChatError) else refused)
                continue
            job.began = time.monotonic()
            self._running[name] = job
        return True

    def _step(self, engine: Any) -> None:
        if self._running:
            for output in engine.step():
                if output.finished and (job := self._running.pop(output.request_id, None)):
                    _finish(job, output.outputs[0], self._chat.model)
        now = time.monotonic()
        for name, job in list(self._running.items()):
            late = now - job.began > self._chat.timeout
            if late or job.future.cancelled():
                engine.abort_request([name])
                del self._running[name]
                job.end(ChatTimedOut(f"{self._chat.model} gave no whole reply within {self._chat.timeout:g} s"))


def _load(chat: "VLLMChat") -> Any:
    """vLLM's engine in this process."""
    prepare()
    from vllm.config import StructuredOutputsConfig

    cpu = on_cpu()
    options: dict[str, Any] = {} if chat.context is None else {"max_model_len": chat.context}
    if not cpu:
        options["gpu_memory_utilization"] = chat.gpu_memory
    return start(
        model=chat.model,
        revision=chat.revision,
        tokenizer_revision=chat.revision,
        dtype="float32" if cpu and chat.dtype == "auto" else chat.dtype,
        max_num_seqs=chat.concurrency,
        enforce_eager=chat.eager,
        trust_remote_code=False,
        # White space between the parts of a JSON reply is barred, for a model may write it without end.
        structured_outputs_config=StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
        **options,
    )


def _enter(engine: Any, name: str, request: ChatRequest, chat: "VLLMChat") -> int:
    """Hand one request to the engine; how many tokens its prompt has."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    turns = [{"role": message.role, "content": sendable(message.content)} for message in request.messages]
    tokenizer = engine.get_tokenizer()
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **chat.template_options)
    ids = tokenizer.encode(text, add_special_tokens=False)
    room = engine.model_config.max_model_len - len(ids)
    if room < request.max_tokens:
        raise ChatRefused(
            f"{chat.model}: a prompt of {len(ids)} tokens and max_tokens={request.max_tokens} do not fit its context of "
            f"{engine.model_config.max_model_len} tokens"
        )
    form = None
    if request.json_schema is not None:
        form = StructuredOutputsParams(json=dict(request.json_schema))
    sampling = SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed if request.temperature > 0 else None,
        structured_outputs=form,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    engine.add_request(name, {"prompt_token_ids": ids}, sampling)
    return len(ids)


def _finish(job: Job, output: Any, model: str) -> None:
    wrote = len(output.token_ids)
    if output.finish_reason == "length":
        cut = ChatBadReply(f"{model}: the reply was cut off at {job.request.max_tokens} tokens; raise max_tokens")
        job.end(cut.of("length", output.text))
    elif output.finish_reason != "stop":
        job.end(ChatUnavailable(f"{model}: the engine ended the reply ({output.finish_reason})"))
    elif not output.text.strip():
        job.end(ChatBadReply(f"{model}: the reply is empty").of("empty"))
    else:
        job.end(ChatReply(output.text, model, job.prompt_tokens, wrote))
