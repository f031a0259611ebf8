"""The thread behind `VLLMChat`: it owns vLLM's engine and steps it, so that all callers share one batch.

Requests wait in a queue until there is a place; the deadline of each counts from then on. Replies keep a JSON schema by
vLLM's structured outputs, and each is drawn from its own seed. An engine that dies fails what is under way, and the next
request starts a fresh one.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
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
from medrl.engines.vllm_start import collect, end, on_cpu, prepare, start

if TYPE_CHECKING:
    from medrl.engines.vllm_chat import VLLMChat


@dataclass
class _Job:
    """One request on its way."""

    request: ChatRequest
    future: "Future[ChatReply]"
    began: float = 0.0
    prompt_tokens: int = 0


class ChatEngine:
    """The thread that owns vLLM's engine. Never pickled: a copy begins anew."""

    def __init__(self, chat: "VLLMChat") -> None:
        self._chat = chat
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._waiting: deque[_Job] = deque()
        self._running: dict[str, _Job] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._count = 0

    def submit(self, request: ChatRequest) -> "Future[ChatReply]":
        job = _Job(request, Future())
        with self._lock:
            if self._stopping:
                raise ChatUnavailable(f"{self._chat.model} is being closed; nothing was asked")
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="medrl-vllm-chat", daemon=True)
                self._thread.start()
            self._wake.notify()
        return job.future

    def stop(self) -> None:
        """End the thread and free the model; what is under way is called off."""
        with self._lock:
            thread, self._stopping = self._thread, True
            self._wake.notify()
        if thread is not None:
            thread.join()
        with self._lock:
            self._thread, self._stopping = None, False

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
            self._hang_up(why)  # last, so that no other engine starts before the memory is free

    def _hang_up(self, why: Exception | None) -> None:
        """Fail all that wait or run; the next request starts a fresh engine."""
        said = f"failed: {type(why).__name__}: {why}" if why else "was closed"
        with self._lock:
            jobs = [*self._running.values(), *self._waiting]
            self._running.clear()
            self._waiting.clear()
            if not self._stopping:
                self._thread = None
        for job in jobs:
            _fail(job, ChatUnavailable(f"the engine of {self._chat.model} {said}"[:500]))

    def _admit(self, engine: Any) -> bool:
        """Take in what waits, wait where nothing is to be done; False when it is time to stop."""
        with self._lock:
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
                _fail(job, error if isinstance(error, ChatError) else refused)
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
                _fail(job, ChatTimedOut(f"{self._chat.model} gave no whole reply within {self._chat.timeout:g} s"))


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


def _finish(job: _Job, output: Any, model: str) -> None:
    wrote = len(output.token_ids)
    if output.finish_reason == "length":
        cut = ChatBadReply(f"{model}: the reply was cut off at {job.request.max_tokens} tokens; raise max_tokens")
        _fail(job, cut.of("length", output.text))
    elif output.finish_reason != "stop":
        _fail(job, ChatUnavailable(f"{model}: the engine ended the reply ({output.finish_reason})"))
    elif not output.text.strip():
        _fail(job, ChatBadReply(f"{model}: the reply is empty").of("empty"))
    elif job.future.set_running_or_notify_cancel():
        job.future.set_result(ChatReply(output.text, model, job.prompt_tokens, wrote))


def _fail(job: _Job, error: ChatError) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
