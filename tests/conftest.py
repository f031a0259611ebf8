"""What all tests share. Tests use models and data that they make themselves, and never a hub."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch or transformers is imported anywhere: no network, and one thread (the models are tiny).
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Ray's actors run at niceness 15 otherwise: beside a test in the other process that keeps two cores busy they would starve.
os.environ.setdefault("RAY_worker_niceness", "0")
# Tests start hundreds of processes, each of which would compile all of medrl again where no bytecode is kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest

if TYPE_CHECKING:
    from chat_server import ChatServer

    from medrl.algorithms import Batch
    from medrl.models import Policy

sys.dont_write_bytecode = False
REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(Path(__file__).resolve().parent))  # for the helpers beside this file, such as chat_server.py

# Begun first; those that start Ray for themselves come before any that shares one.
LONGEST = ("test_ray_engines.py", "test_vllm_engine.py", "test_colocated.py", "test_ray_nodes.py", "test_ray_run.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real engines are tested where they are installed (`make test` sees to that), peers by `make test-interop`.

    Files with slow tests come first: then none of them is left to one process while the other has nothing to do.
    """
    absent = [name for name in ("vllm", "ray", "deepspeed") if find_spec(name) is None]
    peers = any(Path(entry).name == ".interop" and Path(entry).is_dir() for entry in sys.path)
    for item in items:
        if absent and item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(absent)}; run `make test`"))
        if not peers and item.get_closest_marker("interop"):
            item.add_marker(pytest.mark.skip(reason="needs .interop, which `make test-interop` installs where it can"))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.name, len(place)), item.path not in slow))


# The garbage collector. torch's modules, the tests themselves and vocabularies are millions of objects that live to the
# end, and each full collection would go through all of them again: a tenth of the time that the fast tests take.


def pytest_sessionstart() -> None:
    """While modules are imported there is little garbage and much that stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After each file, when its fixtures are gone."""
    if nextitem is not None and nextitem.path != item.path:
        freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


def freeze() -> None:
    """Throw away what is garbage now, and let later collections pass over what is left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder with samples of published data sets, beside the repository; without it the test is skipped."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


WORDS = (
    "fever cough and chest pain in a patient of 42 years",
    "give 500 mg of amoxicillin three times a day",
    "## Thinking\n\nThe knee is swollen.\n\n## Final Response\n\ngout",
    "which colour is it? red green blue yellow",
)


@pytest.fixture(scope="session")
def make_policy() -> Callable[..., "Policy"]:
    """Tiny Qwen2-type policies from scratch: `make_policy(seed=0, **shape)`; equal arguments give equal weights."""
    from medrl.models import ModelShape, Policy

    def make(seed: int = 0, **shape: int) -> "Policy":
        small = {"vocab_size": 320, "hidden_size": 32, "layers": 2, "heads": 2, "key_value_heads": 1}
        policy = Policy.new(WORDS, ModelShape(**{**small, "intermediate_size": 64, "context": 128, **shape}), seed)
        policy.model.eval()
        return policy

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., "Batch"]:
    """Batches of random tokens with ragged prompts and responses; `rewards` may hold None for "no score"."""
    import random

    from medrl.algorithms import Batch
    from medrl.types import Group, Problem, Rollout, Score, ScoredGroup, ask

    def make(
        policy: "Policy",
        rewards: list[float | None],
        group_size: int,
        *,
        seed: int = 0,
        longest: int = 14,
        **knobs: Any,
    ) -> "Batch":
        draw = random.Random(seed)
        vocabulary = len(policy.tokenizer)
        groups = []
        for start in range(0, len(rewards), group_size):
            prompt = tuple(draw.randrange(4, vocabulary) for _ in range(draw.randrange(2, 9)))
            rollouts = []
            for index in range(group_size):
                tokens = tuple(draw.randrange(4, vocabulary) for _ in range(draw.randrange(1, longest)))
                logprobs = tuple(-draw.uniform(5.0, 6.5) for _ in tokens)
                mask = (True,) * len(tokens)
                rollouts.append(
                    Rollout("", (), "stop", len(tokens), f"p{start}", index, 0, prompt, tokens, logprobs, mask)
                )
            scores = [
                Score(None, "error", reason="judge is down") if value is None else Score(value)
                for value in rewards[start : start + group_size]
            ]
            group = Group(Problem(f"p{start}", ask("?")), tuple(rollouts))
            groups.append(ScoredGroup(group, tuple(scores)))
        return Batch.from_groups(groups, **{"max_response_tokens": longest, **knobs})

    return make


@pytest.fixture
def chat_server() -> "Iterator[Callable[..., ChatServer]]":
    """Chat servers on loopback ports: `chat_server(behaviour)` starts one, and all are closed after the test."""
    from chat_server import ChatServer

    from medrl.rewards import rubric_self_test
    from medrl.verifiers import judge_self_test

    started: list[ChatServer] = []

    def start(*arguments: Any) -> ChatServer:
        started.append(ChatServer(*arguments))
        return started[-1]

    yield start
    for server in started:
        server.close()
    for tests_of in (judge_self_test._REPORTS, judge_self_test._KNOWN, rubric_self_test._OUTCOMES):
        tests_of.clear()  # they hold for a server by its address, and the next one may be given the same port
