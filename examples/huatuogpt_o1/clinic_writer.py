"""A small writer for stages 0 and 1, made from scratch and taught by `clinic_teacher.py`, and served by vLLM.

A model of one or two million parameters has no instructions to follow but those that it was brought up with. So its
tokenizer has one token for each line that the prompts repeat (a task, a rule) and for each frame of the JSON replies,
and reads the codes of the slots as nothing: it could not tell a forged slot from a true one, as a large model can. A
prompt of 2,000 characters has about 150 tokens then. What it learns is the rest: to read findings, to think of
diseases, to say what they explain, and to go on.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from clinic_teacher import exchanges

from medrl.chat.base import ChatBadReply
from medrl.construct.reasoning_prompt import read_chain
from medrl.data.demonstrations import Demonstration
from medrl.errors import MedrlError
from medrl.types import Problem

NAME = "writer"  # of the served model
LONGEST = 256  # tokens of a reply
TOOK = "took.json"  # beside the weights
LEASH = Path(__file__).parent / "leashed.py"
START = 300.0  # seconds that vLLM may take to start on a busy machine
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING",
}  # fmt: skip
SHAPE = {
    "vocab_size": 1536, "hidden_size": 128, "layers": 4, "heads": 4, "key_value_heads": 2, "intermediate_size": 384,
    "context": 2048,
}  # fmt: skip
SFT = {"lr": 2e-3, "batch_size": 8, "microbatch_size": 8, "betas": (0.9, 0.95), "weight_decay": 0.0}
REPEATED = 20  # a line of so many characters that stands in one of a hundred prompts becomes a token
MATERIAL = ("===", "| ")  # how lines of slots begin, which are no instructions
CODE = "[0-9a-f]{16} ?"
# The frames of the replies, as json.dumps writes them.
FRAMES = (
    '{"chain": [{"action": "Inner Thinking", "title": "', '"}, {"action": "Final Conclusion", "title": "", "content": "',
    '"}, {"action": "Verification", "title": "", "content": "', '"}]}', '", "content": "', '{"monologue": "',
    '{"response": "', '{"reason": "', '", "answer": "', '", "grade": "', '{"question": "', '"}',
)  # fmt: skip


class WriterNotServed(MedrlError, RuntimeError):
    """vLLM does not run here, or not with this model."""


def new_writer(lessons: Sequence[Demonstration], shape: Mapping[str, int], seed: int) -> Any:
    """The untrained writer: a policy whose tokenizer knows the lines that are said to it again and again."""
    import torch
    from tokenizers import AddedToken, Regex, normalizers

    from medrl.models import ModelShape, Policy

    prompts = [str(message["content"]) for one in lessons for message in one.messages[:-1]]
    lines = Counter(line for prompt in prompts for line in set(prompt.split("\n")) if len(line) >= REPEATED)
    repeated = sorted(
        line for line, count in lines.items() if count > len(lessons) / 100 and not line.startswith(MATERIAL)
    )
    known = [*repeated, *FRAMES]
    texts = [str(message["content"]) for one in lessons for message in one.messages]
    for piece in known:
        texts = [text.replace(piece, "\n") for text in texts]
    policy = Policy.new(texts, ModelShape(**shape), seed)
    policy.tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in known])
    policy.tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex(CODE), "")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy.model.resize_token_embeddings(len(policy.tokenizer), mean_resizing=False)
    return policy


def train(
    folder: Path, problems: Sequence[Problem], *, epochs: float, seed: int, shape: Mapping[str, int] = SHAPE,
    save_every: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Make the writer, teach it these cases and save it; what the training took, since its last start, and came to.

    That stands in the folder too, so who finds the folder has both, and trains no more: see `trained`.
    """
    from medrl.files import atomic_folder
    from medrl.trainers import SFTSettings, fine_tune

    began, losses = time.monotonic(), []
    lessons = exchanges(problems, seed)
    policy = new_writer(lessons, shape, seed)

    def told(update: int, of: int, figures: dict[str, float]) -> None:
        losses.append(figures["loss"])
        if update % 20 == 0 or update == of:
            print(
                f"#   {update}/{of} updates, loss {figures['loss']:.3f}, {time.monotonic() - began:.0f} s", flush=True
            )

    settings = SFTSettings(epochs=epochs, max_length=policy.context, save_every=save_every, **SFT)
    checkpoints = folder.with_name(f"{folder.name}-checkpoints") if save_every else None
    found = fine_tune(policy, lessons, settings, seed=seed, folder=checkpoints, on_update=told)
    took = {
        "lessons": len(lessons), "updates": found["updates"], "parameters": policy.parameters,
        "loss": sum(losses[-20:]) / len(losses[-20:]) if losses else found["loss"],
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as made:
        policy.save(made)
        (made / TOOK).write_text(json.dumps(took) + "\n")
    if checkpoints:
        rmtree(checkpoints, ignore_errors=True)
    return took


def trained(folder: Path) -> dict[str, float] | None:
    """What the training of the writer in this folder took; None where `train` has not saved it whole."""
    if not (folder / TOOK).is_file():
        return None
    rmtree(folder.with_name(f"{folder.name}-checkpoints"), ignore_errors=True)  # a kill may have left them
    took: dict[str, float] = json.loads((folder / TOOK).read_text())
    return took


def examined(
    policy: Any, lessons: Sequence[Demonstration], temperature: float, seed: int
) -> dict[str, dict[str, float]]:
    """Replies to prompts that the teacher was given: by kind of prompt, how many can be read, and how many say what it said.

    `same` compares what the reply comes to: the conclusion of a chain, the label, the grade, the disease of a response; a
    monologue or an open question as a whole.
    """
    from medrl.engines import InProcessEngine, Request, Sampling

    sampling = Sampling(temperature=temperature, max_tokens=LONGEST)

    def request(number: int, one: Demonstration) -> Request:
        ids = policy.renderer.apply_chat_template(
            [dict(message) for message in one.messages[:-1]], add_generation_prompt=True, return_dict=False
        )
        return Request(str(number), 0, seed + number, tuple(ids), sampling)

    async def replies() -> dict[int, str]:
        requests = [request(number, one) for number, one in enumerate(lessons)]
        found = InProcessEngine(policy, max_rows=64).generate(requests, 0)
        return {int(one.problem_id): one.text async for one in found}

    counts: dict[str, Counter[str]] = {}
    for number, text in asyncio.run(replies()).items():
        kind, gist = _kind(lessons[number])
        counts.setdefault(kind, Counter()).update(_marks(text, lessons[number].answer, gist))
    return {kind: {**{name: found[name] / found["asked"] for name in ("readable", "same")}, "asked": found["asked"]}
            for kind, found in sorted(counts.items())}  # fmt: skip


def marks_table(marks: Mapping[str, Mapping[str, float]]) -> str:
    """`examined` in lines."""
    lines = [f"{'':<12}{'asked':>7}{'readable':>10}{'as the teacher':>16}"]
    lines += [
        f"{kind:<12}{one['asked']:>7g}{one['readable']:>10.0%}{one['same']:>16.0%}" for kind, one in marks.items()
    ]
    return "\n".join(lines)


def _kind(lesson: Demonstration) -> tuple[str, Callable[[Any], Any]]:
    """The kind of prompt, and what its reply comes to."""
    said = json.loads(lesson.answer)
    if "chain" in said:
        again = "Its last conclusion was reviewed" in str(lesson.messages[0]["content"])
        return ("chain again" if again else "first chain"), lambda found: read_chain(json.dumps(found))[-2].content
    if "answer" in said:
        return ("rewriting", lambda found: found) if "question" in said else ("answer", lambda found: found["answer"])
    if "grade" in said:
        return "grade", lambda found: found["grade"]
    if "monologue" in said:
        return "monologue", lambda found: found["monologue"]
    return "response", lambda found: found["response"].partition(".")[0]


def _marks(text: str, wanted: str, gist: Callable[[Any], Any]) -> Iterator[str]:
    yield "asked"
    try:
        found = gist(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, ChatBadReply):
        return
    yield "readable"
    if found == gist(json.loads(wanted)):
        yield "same"


@contextmanager
def served(folder: Path, log: Path) -> Iterator[str]:
    """`vllm serve` of a folder on a free port of loopback: the base URL of its API, once it is healthy.

    Raises:
        WriterNotServed: It ended, then or later, or was not healthy in time; with its first error.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    form = json.dumps({"backend": "xgrammar", "disable_any_whitespace": False})  # blanks as json.dumps sets them
    command = [sys.executable, str(LEASH), sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(folder), "--port", str(port)]
    command += f"--dtype float32 --enforce-eager --max-num-seqs 64 --host 127.0.0.1 --served-model-name {NAME}".split()
    command += ["--structured-outputs-config", form]
    # Prompts in pieces end vLLM on a CPU: it winds back the generators of seeded requests, which cannot be there.
    command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(4096, SHAPE["context"]))]
    with log.open("wb") as out:
        environment = {**os.environ, **ENVIRONMENT}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=environment)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    except MedrlError as error:
        if not isinstance(error, WriterNotServed) and process.poll() is not None:
            raise _ended(process, log) from error
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()  # which ends it
        process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the server started, where the server had ended by itself


def _ended(process: "subprocess.Popen[bytes]", log: Path) -> WriterNotServed:
    said = log.read_text(errors="replace")
    first = said.find("ERROR")  # what follows is how everything else came down
    return WriterNotServed(f"vllm serve ended with {process.returncode}; {log}: {said[max(0, first) :][:2000]}")


def _wait(process: "subprocess.Popen[bytes]", health: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _ended(process, log)
        try:
            with urllib.request.urlopen(health, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise WriterNotServed(f"vllm serve was not healthy within {START:g} s: {log.read_text()[-2000:]}")
