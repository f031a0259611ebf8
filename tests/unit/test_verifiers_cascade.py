"""Cascades count what their stages say, and audit a share of what they decided without changing any score."""

import asyncio
import copy
import json
import logging
import pickle
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from chat_server import ChatServer

from medrl import rewards
from medrl.errors import RecipeError
from medrl.rewards import Verified, levels
from medrl.trainers.metrics import verifier_metrics
from medrl.types import Group, Judged, Problem, Response, Verdict, ask
from medrl.verifiers import Cascade, RuleVerifier, Text, Typed, Verifier, build, judge, run_sync, verify_all
from medrl.verifiers.cascade import draw
from medrl.verifiers.cascade_counts import KEPT, unique

LOGGER = "medrl.verifiers.cascade_counts"


@dataclass(frozen=True)
class Says(RuleVerifier):
    """Does what the answer says, for a stage of its own: "right late" is right for stage `late` alone."""

    name: ClassVar[str] = "says"
    own: str = "first"

    def check(self, problem: Problem, response: Response) -> Verdict:
        word, _, stage = response.text.partition(" ")
        if stage not in ("", self.own):
            return Verdict.abstain("not mine", cost={"calls": 1})
        if word == "raise":
            raise ValueError("broken")
        if word == "late":
            raise TimeoutError
        return Verdict(1.0 if word == "right" else 0.25, answer=word, reason=self.own, cost={"calls": 1})


@dataclass(frozen=True)
class Auditor(Verifier):
    """Takes everything for wrong, or fails."""

    name: ClassVar[str] = "auditor"
    how: str = "wrong"

    @property
    def decides(self) -> bool:
        return True

    async def verify_batch(self, items: Judged) -> list[Verdict]:
        if self.how == "raise":
            raise ConnectionError("down")
        if self.how == "hang":
            await asyncio.sleep(60)
        if self.how == "abstain":
            return [Verdict.abstain() for _ in items]
        return [Verdict(float(self.how == "right"), reason="second opinion", cost={"tokens": 3}) for _ in items]


PROBLEM = Problem("p", ask("?"), "x")


def check(verifier: Verifier, texts: Sequence[str]) -> list[Verdict]:
    return verify_all(verifier, [PROBLEM] * len(texts), texts)


def test_every_stage_counts_what_it_was_asked_and_said() -> None:
    cascade = Cascade((Says(), Says("second")))
    check(cascade, ["right", "wrong", "wrong", "raise", "late", "right second", "raise second", "right third"])
    found = cascade.statistics()
    assert json.loads(json.dumps(found)) == found and list(found["stages"]) == ["says", "says_2"]
    first, second = found["stages"].values()
    assert {k: first[k] for k in ("asked", "right", "wrong", "abstained")} == {
        "asked": 8, "right": 1, "wrong": 2, "abstained": 3,
    }  # fmt: skip
    assert first["failed"] == {"error": 1, "timeout": 1, "invalid": 0} and first["cost"] == {"calls": 6}
    assert {k: second[k] for k in ("asked", "right", "abstained")} == {"asked": 3, "right": 1, "abstained": 1}
    assert second["failed"]["error"] == 1 and second["seconds"] > 0
    cascade.reset_statistics()
    assert cascade.statistics()["stages"]["says"]["asked"] == 0
    assert unique(["a", "a_2", "a", "a"]) == ("a", "a_2", "a_3", "a_4")


def test_a_cascade_inside_counts_too_and_is_reset_too() -> None:
    outer = Cascade((Cascade((Says(),)), Auditor()))
    check(outer, ["right", "right second"])
    inner = outer.statistics()["stages"]["cascade"]["inner"]
    assert inner["stages"]["says"]["asked"] == 2
    outer.reset_statistics()
    assert outer.statistics()["stages"]["cascade"]["inner"]["stages"]["says"]["asked"] == 0


def test_counts_hold_under_threads_and_event_loops() -> None:
    cascade = Cascade((Says(), Auditor()), audit=1.0)
    items = [(PROBLEM, Response(f"right {'second' * (i % 2)}")) for i in range(10)]

    async def many() -> None:
        await asyncio.gather(*(judge(cascade, items) for _ in range(20)))

    threads = [threading.Thread(target=run_sync, args=(many(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = cascade.statistics()["stages"].values()
    assert (first["asked"], first["right"], second["asked"], first["audited"]) == (1600, 800, 800, 800)


def test_counts_stay_in_their_process_and_out_of_equality() -> None:
    cascade = Cascade((Says(), Auditor()), audit=1.0)
    check(cascade, ["right"])
    for other in (pickle.loads(pickle.dumps(cascade)), copy.deepcopy(cascade), replace(cascade, alarm=0.1)):
        assert other == cascade and hash(other) == hash(cascade)
        assert other.statistics()["stages"]["says"]["asked"] == 0
        check(other, ["right"])
        assert other.statistics()["stages"]["says"]["audited"] == 1
    assert cascade.statistics()["stages"]["says"]["asked"] == 1
    assert cascade.fingerprint() == Cascade((Says(), Auditor()), audit=0.5).fingerprint()
    assert "counts" not in cascade.to_config()
    typed = Cascade((Typed(), Text()), audit=0.01, audit_accepts=0.1, alarm=0.2, alarm_after=5)
    assert build(typed.to_config()) == typed


def test_an_audit_changes_no_score_and_tells_whether_it_agrees() -> None:
    plain = check(Cascade((Says(), Auditor())), ["right", "wrong", "right second"])
    cascade = Cascade((Says(), Auditor()), audit=1.0)
    audited = check(cascade, ["right", "wrong", "right second"])
    assert [(v.score, v.stage, v.reason, v.cost) for v in audited] == [
        (v.score, v.stage, v.reason, v.cost) for v in plain
    ]
    assert [dict(v.parts) for v in audited] == [
        {"audited": 1.0, "audit_agrees": 0.0}, {"audited": 1.0, "audit_agrees": 1.0}, {},
    ]  # fmt: skip
    first, second = cascade.statistics()["stages"].values()
    assert (first["audited"], first["audited_accepts"], first["disagreed"], first["gap"]) == (2, 1, 1, 1.0)
    assert first["audit_cost"] == {"tokens": 6} and second["asked"] == 1 and second["audited"] == 0
    (row,) = cascade.statistics()["disagreements"]
    assert row == {
        "problem_id": "p", "stage": "says", "auditor": "auditor", "answer": "right", "accepted": True,
        "reason": "first", "audit_reason": "second opinion",
    }  # fmt: skip


def test_what_is_audited_depends_on_problem_and_response_alone() -> None:
    problems = [replace(PROBLEM, id=f"p{i}") for i in range(4000)]
    items = [(problem, Response("right")) for problem in problems]
    cascade = Cascade((Says(), Auditor("right")), audit=0.05)

    async def one_by_one() -> list[Verdict]:
        return [(await judge(Cascade(cascade.stages, audit=0.05), [item]))[0] for item in reversed(items)]

    together, apart = run_sync(judge(cascade, items)), run_sync(one_by_one())[::-1]
    assert [v.parts for v in together] == [v.parts for v in apart]
    share = sum("audited" in v.parts for v in together) / len(items)
    assert 0.035 < share < 0.065
    assert draw(PROBLEM, Response("a")) != draw(PROBLEM, Response("b"))
    assert draw(replace(PROBLEM, id="pa"), Response("b")) != draw(PROBLEM, Response("ab"))
    assert 0 <= draw(PROBLEM, Response("half of a pair: \ud83d")) < 1


def test_accepts_may_have_a_share_of_their_own() -> None:
    cascade = Cascade((Says(), Auditor()), audit_accepts=1.0)
    assert ["audited" in v.parts for v in check(cascade, ["right", "wrong"])] == [True, False]
    never = Cascade((Says(), Auditor()), audit=1.0, audit_accepts=0.0)
    assert ["audited" in v.parts for v in check(never, ["right", "wrong"])] == [False, True]


@pytest.mark.parametrize("how", ["raise", "hang", "abstain"])
def test_an_auditor_that_fails_hurts_nobody(how: str) -> None:
    cascade = Cascade((Says(), Auditor(how)), audit=1.0, audit_timeout=0.05)
    verdicts = check(cascade, ["right", "wrong"])
    assert [v.score for v in verdicts] == [1.0, 0.25] and dict(verdicts[0].parts) == {"audited": 1.0}
    first = cascade.statistics()["stages"]["says"]
    assert (first["audits_undecided"], first["audited"], first["gap"]) == (2, 0, None)


def test_the_alarm_goes_off_once_after_enough_audits(caplog: pytest.LogCaptureFixture) -> None:
    cascade = Cascade((Says(), Auditor()), audit=1.0, alarm=0.1, alarm_after=20)
    with caplog.at_level(logging.WARNING, LOGGER):
        check(cascade, ["right"] * 19 + ["wrong"] * 30)
        assert cascade.statistics()["alarms"] == []
        assert sum("an audit disagrees" in message for message in caplog.messages) == 5
        check(cascade, ["right"] * 200)
    alarms = [message for message in caplog.messages if "20 audited answers that stage 'says' accepted" in message]
    assert cascade.statistics()["alarms"] == ["says"] and len(alarms) == 1 and "100% for wrong" in alarms[0]
    assert len(caplog.messages) == 6 and len(cascade.statistics()["disagreements"]) == KEPT
    agreeing = Cascade((Says(), Auditor("right")), audit=1.0)
    check(agreeing, ["right"] * 50 + ["wrong"] * 50)  # rejects that the auditor accepts raise no alarm
    assert agreeing.statistics()["alarms"] == [] and agreeing.statistics()["stages"]["says"]["disagreed"] == 50


def test_knobs_that_make_no_sense_are_refused_together() -> None:
    with pytest.raises(RecipeError) as caught:
        Cascade((Says(),), audit=1.5, audit_accepts=0.1, audit_timeout=0, alarm=-1, alarm_after=0)
    said = " ".join(caught.value.faults)
    assert len(caught.value.faults) == 5
    assert all(name in said for name in ("audit is 1.5", "audit_timeout", "alarm is", "alarm_after", "one stage"))


def test_a_reward_tells_what_its_verifiers_counted_and_a_step_what_it_added() -> None:
    cascade = Cascade((Says(), Auditor("right")), audit=1.0)
    tree = levels(cascade, format=None)
    group = Group(PROBLEM, (Response("right"), Response("wrong"), Response("raise"), Response("right second")))
    assert levels(Says(), format=None, otherwise=0.0).statistics() == {}
    tree.score_sync([group])
    before = tree.statistics()
    tree.score_sync([group, group])
    metrics = verifier_metrics(before, tree.statistics())
    assert metrics["verifier/correct/says/asked"] == 8 and metrics["verifier/correct/says/failed"] == 2
    assert metrics["verifier/correct/says/audited"] == 4 and metrics["verifier/correct/auditor/right"] == 2
    assert not any("seconds" in name for name in metrics) and "verifier/correct/auditor/audited" not in metrics
    quiet = Verified(Cascade((Says(), Auditor())))
    assert not any("audit" in name for name in verifier_metrics({}, quiet.statistics()) if "auditor" not in name)


RECIPE = """
type: levels
right: 1.0
wrong: 0.1
correct:
  type: verified
  otherwise: 0.0
  verifier:
    type: cascade
    audit: 1.0
    stages:
      - text
      - {type: classifier, model: FOLDER, layout: pair, device: cpu, unsure_between: [0.3, 0.7]}
      - {type: judge, self_test: false, client: {type: openai, model: judge, base_url: URL, max_retries: 0}}
"""


def judge_server(request: dict[str, Any], n: int) -> str:
    """Takes water pills for diuretics, and nothing else."""
    same = "| water pills" in request["messages"][-1]["content"]
    return json.dumps({"answer": "as given", "reason": "read", "verdict": "match" if same else "no_match"})


def test_rules_classifier_and_judge_of_a_recipe(chat_server: Callable[..., ChatServer], tmp_path: Path) -> None:
    """From YAML to scores and statistics: who decided what, who audited whom; and back to YAML."""
    from medrl.models.classifier import ClassifierShape, new_classifier

    model, tokenizer = new_classifier(["water pills and diuretics"], ClassifierShape(300, 32, 1, 2, 64, 96))
    model.classifier.weight.data.zero_()  # unsure of everything: p(True) is 0.5
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    server = chat_server(judge_server)
    tree = rewards.build(yaml.safe_load(RECIPE.replace("FOLDER", str(tmp_path)).replace("URL", server.url)))
    problem = Problem("p", ask("What is given for oedema?"), "diuretics")
    texts = ("diuretics", "water pills", "something quite other", "water pills, I think")
    (scores,) = tree.score_sync([Group(problem, tuple(Response(text) for text in texts))])
    assert [score.value for score in scores] == [1.0, 1.0, 0.1, 1.0]
    verdicts = [part.verdict for score in scores for part in score.parts.values() if part.verdict]
    assert [verdict.stage for verdict in verdicts] == ["text", "judge", "judge", "judge"]
    stages = tree.statistics()["correct"]["stages"]
    figures = ("asked", "right", "wrong", "abstained", "audited", "audits_undecided")
    assert [stages["text"][name] for name in figures] == [4, 1, 0, 3, 0, 1]  # the classifier is unsure of that one too
    assert [stages["classifier"][name] for name in figures] == [3, 0, 0, 3, 0, 0]
    assert [stages["judge"][name] for name in figures] == [3, 2, 1, 0, 0, 0]
    assert stages["judge"]["cost"]["calls"] == 3 == server.count
    again = rewards.build(yaml.safe_load(yaml.safe_dump(tree.to_config())))
    assert again.to_config() == tree.to_config()
    assert [v.fingerprint() for _, v in again.verifiers()] == [v.fingerprint() for _, v in tree.verifiers()]
