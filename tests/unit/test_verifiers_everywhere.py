"""One verifier, the same verdicts wherever it is called: threads, event loops, spawned processes, Ray actors."""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from medrl.types import Problem, Response, Verdict, ask
from medrl.verifiers import Verifier, build, judge, verify_all
from medrl.verifiers.worker_pool import close_all

RULES = '''
from medrl.verifiers import build, verifier, verify_all
from medrl.types import Problem

@verifier("short")
def short(problem, text):
    return None if not text else len(text) < 20

def verdicts(config, problems, texts):
    """What a process of its own says, as JSON can hold it."""
    rule = build(config)
    found = verify_all(rule, [Problem.from_json(row) for row in problems], texts)
    return rule.fingerprint(), [verdict.to_json() for verdict in found]
'''
CASES = [
    (Problem("term", ask("Diagnosis?"), "Asthma"), "## Thinking\n\nWheeze.\n\n## Final Response\n\nIt is most likely asthma"),
    (Problem("deny", ask("Diagnosis?"), "Asthma"), "This is not asthma"),
    (Problem("choice", ask("Which?"), "B", "choice", {"A": "gout", "B": "asthma"}), "The answer is B."),
    (Problem("number", ask("Dose?"), "5 mg", "numeric"), "5000 mcg"),
    (Problem("date", ask("On which date?"), "2020-01-02"), "2 January 2020"),
    (Problem("set", ask("Which two?"), "fever; cough"), "cough and fever"),
    (Problem("yes_no", ask("Is it?"), "yes"), "No."),
    (Problem("equal", ask("Formula?"), "(a+b)^2"), "a^2 + 2ab + b^2"),
    (Problem("other", ask("Formula?"), "k·A/d"), "k·A·d"),
    (Problem("broken", ask("Formula?")), "k"),
    (Problem("empty", ask("Formula?"), "k·A/d"), ""),
]  # fmt: skip
PROBLEMS, TEXTS = [problem for problem, _ in CASES], [text for _, text in CASES]
TYPED = {"type": "typed", "vocabulary": "clinic"}
SYMBOLIC = {"type": "medrl.verifiers.symbolic:Symbolic"}
ISOLATED = "medrl.verifiers.isolated:Isolated"
CONFIGS: dict[str, Any] = {
    "typed": TYPED,
    "symbolic": SYMBOLIC,
    "function": "everywhere_rules:short",
    "isolated": {"type": ISOLATED, "verifier": {"type": "cascade", "stages": [SYMBOLIC, TYPED]}, "deadline": 30.0},
    "isolated function": {"type": ISOLATED, "verifier": "everywhere_rules:short", "workers": 2, "chunk": 2},
}


@pytest.fixture(scope="module", autouse=True)
def rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "everywhere_rules.py").write_text(RULES)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    close_all()


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> Any:
    return CONFIGS[request.param]


def here(rule: Verifier) -> list[Verdict]:
    return verify_all(rule, PROBLEMS, TEXTS)


def rows(verdicts: list[Verdict]) -> Any:
    return json.loads(json.dumps([verdict.to_json() for verdict in verdicts]))


def test_the_cases_are_of_every_sort() -> None:
    isolated = here(build(CONFIGS["isolated"]))
    inner = here(build(CONFIGS["isolated"]["verifier"]))
    assert isolated == inner
    assert {verdict.status for verdict in isolated} == {"ok", "invalid"}
    assert [verdict.score for verdict in isolated] == [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, None, 0.0]
    assert {verdict.stage for verdict in isolated} >= {"symbolic", "text", "choice", "number", "date", "set", "yes_no"}


def test_eight_threads_at_once(config: Any) -> None:
    rule = build(config)
    wanted = here(rule)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: here(rule), range(16)))
    assert found == [wanted] * 16


def test_inside_running_loops(config: Any) -> None:
    rule = build(config)
    wanted = here(rule)
    items = [(problem, Response(text)) for problem, text in CASES]

    async def inside() -> list[list[Verdict]]:
        awaited = await asyncio.gather(*(judge(rule, items) for _ in range(3)))
        return [*awaited, here(rule), [rule.verify(problem, text) for problem, text in CASES]]

    assert asyncio.run(inside()) == [wanted] * 5


@pytest.mark.slow
def test_a_spawned_process(config: Any, rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from everywhere_rules import verdicts  # type: ignore[import-not-found]

    rule = build(config)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # the child need not run pytest's main module
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        print_, found = processes.apply(verdicts, (config, [one.to_json() for one in PROBLEMS], TEXTS))
    assert (print_, json.loads(json.dumps(found))) == (rule.fingerprint(), rows(here(rule)))


@pytest.mark.slow
def test_a_program_of_its_own_that_ends_by_itself(config: Any, rules: Path) -> None:
    script = (
        "import json, sys\nfrom everywhere_rules import verdicts\n"
        "print(json.dumps(verdicts(*json.load(sys.stdin))))\nassert 'torch' not in sys.modules"
    )
    rule = build(config)
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([config, [one.to_json() for one in PROBLEMS], TEXTS]),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(rules)},
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [rule.fingerprint(), rows(here(rule))]


@pytest.mark.engine
@pytest.mark.slow
def test_a_ray_actor(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    class Judge:
        def judge(self, config: Any) -> tuple[str, list[dict[str, Any]], int]:
            import os

            from everywhere_rules import verdicts

            problems = [one.to_json() for one in PROBLEMS]
            return *verdicts(config, problems, TEXTS), os.getpid()

    path = os.pathsep.join([str(rules), str(Path(__file__).parents[2])])
    ray.init(num_cpus=1, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    try:
        actor = ray.remote(Judge).remote()
        for config in CONFIGS.values():
            print_, found, pid = ray.get(actor.judge.remote(config), timeout=120)
            rule = build(config)
            assert pid != os.getpid()
            assert (print_, json.loads(json.dumps(found))) == (rule.fingerprint(), rows(here(rule)))
    finally:
        ray.shutdown()
