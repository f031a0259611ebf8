"""medrl in PrimeIntellect's verifiers 0.4: its tasks, its traces, its way of plugging rewards in.

Its package has the name of our top-level folder, so it runs from another folder, in a process of its own (`python -P`).
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from answers_everywhere import ANSWERS, TREE

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
from pathlib import Path
from medrl.interop.verifiers import rubric

medrl_reward = rubric(Path(__file__).with_name("reward.yaml"), retries=0)
"""

PROGRAM = """
import asyncio, json, sys
import verifiers.v1 as vf
from verifiers.v1.graph import MessageNode
from answers_everywhere import ANSWERS
from medrl.interop.verifiers import rubric, task_data, with_reward

assert hasattr(vf, "Task") and "medrl" not in vf.__file__

class Data(vf.TaskData):
    problem: str

class Task(vf.Task[Data, vf.State, vf.TaskConfig]):
    pass

def trace_of(task, text, reasoning=None, finish="stop"):
    message = vf.AssistantMessage(content=text, reasoning_content=reasoning)
    trace = vf.Trace(task=vf.TraceTask(type="Task", data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig()))
    trace.nodes.append(MessageNode(message=message, parent=None, sampled=True))
    trace.calls.append(vf.ModelCall(node=0, finish_reason=finish))
    return trace

async def scored(task, text, **more):
    trace = trace_of(task, text, **more)
    try:
        await task.score(trace)
    except vf.TaskError as error:
        trace.record_error(error)
    return {"reward": trace.reward, "rewards": {k: r and r.score for k, r in trace.rewards.items()},
            "metrics": trace.metrics, "has_error": trace.has_error if trace.errors else False,
            "errors": [error.message for error in trace.errors]}

plugged = vf.TaskConfig(rewards={"medrl": {"fn": sys.argv[1] + ":medrl_reward"}})
own = with_reward(Task, rubric(sys.argv[2], retries=0))
out = {"plugged": [], "own": []}
data = [Data(**row) for row in task_data([answer.problem for answer in ANSWERS])]
for answer, one in zip(ANSWERS, data):
    out["plugged"].append(asyncio.run(scored(Task(one, plugged), answer.text)))
    out["own"].append(asyncio.run(scored(own(one), answer.text)))
out["cut"] = asyncio.run(scored(own(data[0]), ANSWERS[0].text, finish="length"))
think = with_reward(Task, rubric(sys.argv[3]))
out["thought"] = asyncio.run(scored(think(data[0]), "asthma", reasoning="She wheezes."))
print(json.dumps(out))
"""


def test_tasks_of_verifiers_give_the_numbers_of_the_tree(tmp_path: Path) -> None:
    if find_spec("pydantic_config") is None:
        pytest.skip("needs verifiers and what it imports; run `make test-interop`")
    (tmp_path / "reward.yaml").write_text(yaml.safe_dump(TREE), encoding="utf-8")
    (tmp_path / "think.yaml").write_text("{type: format, preset: think}", encoding="utf-8")
    (tmp_path / "plugin.py").write_text(MODULE, encoding="utf-8")
    paths = [str(ROOT / ".interop"), str(ROOT / "tests"), str(tmp_path / "medrl_only")]
    (tmp_path / "medrl_only").mkdir()
    (tmp_path / "medrl_only" / "medrl").symlink_to(ROOT / "medrl")  # the root itself would bring our verifiers/ in
    arguments = ["plugin.py", "reward.yaml", "think.yaml"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *(str(tmp_path / name) for name in arguments)], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for way, name in (("plugged", "medrl"), ("own", "medrl_reward")):
        for answer, one in zip(ANSWERS, found[way], strict=True):
            if answer.value is None:  # an error of the trace, and no reward
                assert one["has_error"] and one["rewards"] == {name: None}
                assert answer.problem.id in one["errors"][0]
            else:
                assert one["reward"] == one["rewards"][name] == pytest.approx(answer.value)
                assert not one["errors"]
            assert one["metrics"][f"status/{answer.status}"] == 1.0
    assert found["own"][2]["metrics"]["part/correct"] == 0.0 and found["own"][0]["metrics"]["part/correct"] == 1.0
    assert found["cut"]["reward"] == pytest.approx(0.3)
    assert found["thought"]["reward"] == 1.0
