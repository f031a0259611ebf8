"""`VLLMEngine`: rollouts by vLLM in this process, with weights that change in place between two of its steps.

Draws. Each request has a generator of its own, seeded by `Request.seed`, from which vLLM takes the same numbers whatever
else is in the batch. Logits are equal only up to rounding, which does depend on the batch; where two tokens are nearly
as likely, another one may be drawn. They are not the draws of the in-process engine for the same seed.

Log-probabilities are of the distribution that was drawn from, after temperature, top-k and top-p
(`logprobs_mode="processed_logprobs"`).

Versions. The engine itself says which version wrote which tokens; `generate` refuses a version that it does not have yet.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from medrl.engines.base import Request, Sampling
from medrl.engines.stream import Inbox
from medrl.engines.vllm_loop import EngineLoop, Pulse
from medrl.engines.vllm_requests import check_prompts, exact, longest, salt
from medrl.engines.vllm_settings import EngineSettings, ServedModel
from medrl.errors import EngineFailed, MedrlError
from medrl.models.buckets import AnyBucket
from medrl.types import Rollout

T = TypeVar("T")
PATIENCE = 600.0  # seconds that loading may take


class VLLMEngine:
    """One vLLM engine, stepped by a thread of this process. Many calls of `generate` share it, from any event loop."""

    def __init__(self, served: ServedModel, settings: EngineSettings | None = None, version: int = 0) -> None:
        """Start the engine and wait until it is loaded and warm (5 s for a tiny model on a CPU, and the import of vLLM).

        Args:
            served: The policy, as `ServedModel.of` describes it.
            settings: Its knobs.
            version: The policy version of the weights that it starts with.

        Raises:
            MissingExtra: vLLM is not installed.
            EngineFailed: vLLM does not start; its own words are in the message.
        """
        self.served, self.settings = served, settings or EngineSettings()
        self.asleep = False
        self._in_transfer: Any = None  # the engine, while it is in a step of vLLM's own transfers
        self._loop = EngineLoop(served, self.settings, version)
        try:
            self._loop.ready.result(timeout=PATIENCE)
            self._waited(self._warm_up)  # the first step compiles; what the machine cannot compute fails now
        except TimeoutError as error:
            raise EngineFailed(f"vLLM has not loaded {served.folder} within {PATIENCE:g} s") from error
        except MedrlError:
            raise
        except Exception as error:  # of any kind, and not all of vLLM's can travel to another process
            self._loop.stop()
            said = f"{type(error).__name__}: {error}"
            raise EngineFailed(f"vLLM cannot start with the model in {served.folder}: {said}") from error

    @property
    def version(self) -> int:
        """The policy version that it samples from."""
        return self._loop.version

    @property
    def longest(self) -> int:
        """Most tokens of a prompt and its response together. See `context_of`."""
        return longest(self.served, self.settings)

    def exact(self, sampling: Sampling) -> bool:
        """True for float32 and the whole softmax: vLLM and transformers then agree to about 1e-6.

        Not with `midway="keep"`, where a response may be drawn over keys and values of several versions.
        """
        return exact(self.served, self.settings, sampling)

    async def generate(self, requests: Sequence[Request], version: int) -> AsyncIterator[Rollout]:
        """Yield one rollout for each request, the moment it ends. Closing the iterator ends what is unfinished.

        Raises:
            ProblemError: A prompt is too long.
            EngineFailed: The engine holds an older version than was asked for, or died.
        """
        check_prompts(requests, self.served, self.settings)
        self._fit(version)
        inbox: Inbox[Rollout] = Inbox()
        tickets = self._loop.submit(requests, inbox.put)
        left = len(tickets)
        try:
            while left:
                rollout = await inbox.get()
                left -= 1
                yield rollout
        finally:
            if left:
                with contextlib.suppress(EngineFailed):  # an engine that is gone has nothing to end
                    self._loop.abort(tickets, deliver=False)

    def submit(self, requests: Sequence[Request], version: int, deliver: Callable[[Any], None]) -> list[int]:
        """What `generate` is made of, for callers with threads of their own: `deliver` gets a rollout or an error."""
        check_prompts(requests, self.served, self.settings)
        self._fit(version)
        return self._loop.submit(requests, deliver)

    def abort_tickets(self, tickets: Iterable[int]) -> None:
        """Drop what `submit` began; nothing more is delivered of it."""
        self._loop.abort(tickets, deliver=False).result()

    def abort(self, problem_ids: Iterable[str]) -> int:
        """End the unfinished rollouts of these problems now.

        Each is still yielded, once, with what it has and the finish reason "abort".

        Returns:
            How many there were.
        """
        return self._loop.abort_problems(problem_ids).result()

    def _fit(self, version: int) -> None:
        if self._loop.unfit:
            raise EngineFailed(f"the vLLM engine of {self.served.folder} cannot sample: {self._loop.unfit}")
        if version > self._loop.version:
            raise EngineFailed(
                f"rollouts of policy version {version} are asked for and the engine holds version "
                f"{self._loop.version}; publish the weights first"
            )

    # Weights

    def update(self, buckets: Iterable[AnyBucket], version: int) -> None:
        """Replace all weights, between two steps; `buckets` is read in the engine's thread, one at a time.

        Cached keys and values of the old weights serve no request of the new version; unfinished responses go on as
        `EngineSettings.midway` says. When it fails halfway, what is unfinished fails, and
        the engine samples nothing until an update succeeds.

        Raises:
            ValueError: Something is unfinished and `midway` is "refuse", or a weight is missing.
        """
        self._waited(lambda engine: self._replace(engine, ({"buckets": (bucket,)} for bucket in buckets), version))

    def native(self, step: str, *payload: Any, version: int | None = None) -> None:
        """One step of vLLM's own life cycle, for its NCCL and IPC engines, which the learner's side drives.

        From the first step of an update on nothing is sampled until an update has succeeded: what is unfinished or asked for
        meanwhile waits, and goes on as `EngineSettings.midway` says.

        Args:
            step: "init_weight_transfer_engine", "start_weight_update", "update_weights" or "finish_weight_update".
            payload: Its argument, a plain dictionary, where it has one.
            version: With the last step, the version that the new weights are.

        Raises:
            ValueError: Something is unfinished and `midway` is "refuse", or a weight is missing.
        """

        def work(engine: Any) -> None:
            if step == "start_weight_update":
                self._begin(engine)
                self._loop.pause()  # from here on the model is in pieces
                engine.collective_rpc("medrl_give_up")  # an update that failed halfway, if there was one
            self._in_transfer = engine
            try:
                engine.collective_rpc(step, args=payload)
            finally:
                self._in_transfer = None
            if version is not None:
                self._be_whole(engine)
                self._commit(engine, version)
                self._loop.resume()

        self._waited(work)

    def break_off(self) -> None:
        """End a step of a transfer that waits for a peer which is gone; from another thread than waits.

        With tensor parallelism nobody can tell the processes that wait, and who watches this engine must end it.
        """
        if (engine := self._in_transfer) is not None and self.settings.tensor_parallel == 1:
            engine.collective_rpc("medrl_break_off")

    def _replace(self, engine: Any, payloads: Iterable[dict[str, Any]], version: int) -> None:
        self._begin(engine)
        try:
            engine.collective_rpc("start_weight_update")
            for payload in payloads:
                engine.collective_rpc("update_weights", args=(payload,))
            engine.collective_rpc("finish_weight_update")
            self._be_whole(engine)
        except BaseException:
            self._loop.spoil(engine, f"the update to version {version} failed halfway, and its weights are a mixture")
            engine.collective_rpc("medrl_give_up")
            raise
        self._commit(engine, version)

    def _be_whole(self, engine: Any) -> None:
        if missing := sorted({name for names in engine.collective_rpc("medrl_missing") for name in names}):
            raise ValueError(f"the update left out {len(missing)} of the model's weights: {_shown(missing)}")

    def _begin(self, engine: Any) -> None:
        if self._loop.unfinished and self.settings.midway == "refuse":
            raise ValueError(
                f"an update came while {self._loop.unfinished} responses are unfinished, and midway is 'refuse'; wait "
                "for them, or take midway='recompute' or 'keep'"
            )

    def _commit(self, engine: Any, version: int) -> None:
        """No key or value of the old weights stays, but (with "keep") those of responses under way."""
        if not self._loop.unfinished or self.settings.midway == "recompute":
            engine.reset_prefix_cache(reset_running_requests=bool(self._loop.unfinished))
            if self.served.sees:
                engine.reset_encoder_cache()
        engine.set_weight_version(str(version))
        self._loop.version, self._loop.unfit = version, ""

    def probe(self, token_ids: Sequence[int]) -> list[float]:
        """Log-probability of each of `token_ids` but the first, given those before it, under the present weights.

        The last one goes the way of sampling, through the prefix cache; all others are computed afresh. So a cache that
        outlived its weights shows as well as wrong weights do. Runs before anything else goes on.
        """
        ids = list(token_ids)
        if not 3 <= len(ids) <= longest(self.served, self.settings) - 1:
            raise ValueError(f"a probe has {len(ids)} tokens; it has from 3 up to what fits the engine's context")
        return self._waited(lambda engine: self._probe(engine, ids))

    def _warm_up(self, engine: Any) -> None:
        self._probe(engine, [0, 0, 0])

    def _probe(self, engine: Any, ids: list[int]) -> list[float]:
        from vllm import SamplingParams

        prompt = {"prompt_token_ids": ids[:-1], "cache_salt": salt(self._loop.version)}
        common: dict[str, Any] = {"max_tokens": 1, "temperature": 1.0, "seed": 0, "detokenize": False}
        asked = {
            "probe-cached": SamplingParams(logprobs=1, logprob_token_ids=[ids[-1]], **common),
            "probe-fresh": SamplingParams(prompt_logprobs=0, **common),
        }
        for name, parameters in asked.items():
            engine.add_request(name, prompt, parameters)
        outputs = self._loop.step_until(engine, set(asked))
        fresh = outputs["probe-fresh"].prompt_logprobs
        last = outputs["probe-cached"].outputs[0].logprobs[0][ids[-1]].logprob
        return [step[token].logprob for step, token in zip(fresh[1:], ids[1:-1], strict=True)] + [last]

    # Turns

    def sleep(self) -> None:
        """Give the GPU's memory back for the learner's turn: weights go to the host, keys and values are dropped.

        Nothing may be unfinished, and `sleep_mode` must be on. What is asked for meanwhile waits. On a CPU all is the same
        but for the memory, of which vLLM frees none.
        """
        if not self.settings.sleep_mode:
            raise ValueError("an engine that is to sleep is started with sleep_mode=True")

        def work(engine: Any) -> None:
            if self._loop.unfinished:
                raise ValueError(f"{self._loop.unfinished} responses are unfinished; an engine sleeps between rollouts")
            if not self.asleep:
                engine.sleep(level=1, mode="keep")
                self._loop.pause()
                self.asleep = True

        self._waited(work, asleep=True)

    def wake(self) -> None:
        """Take the memory again, with the weights of before; what has waited goes on."""

        def work(engine: Any) -> None:
            if self.asleep:
                engine.wake_up()
                self.asleep = False
                self._loop.resume()

        self._waited(work, asleep=True)

    def pulse(self) -> Pulse:
        """How it is doing; answers when the engine hangs, too."""
        return self._loop.pulse()

    def close(self) -> None:
        """End the engine and free its memory; what is unfinished gets an `EngineFailed`."""
        self._loop.stop()

    def _waited(self, work: Callable[[Any], T], *, asleep: bool = False) -> T:
        """What `work` gives between two steps; an engine that sleeps has no memory for it, unless it is said to need none."""

        def checked(engine: Any) -> T:
            if self.asleep and not asleep:
                raise ValueError(f"the vLLM engine of {self.served.folder} is asleep; wake it first")
            return work(engine)

        future: Future[T] = self._loop.call(checked)
        return future.result()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
