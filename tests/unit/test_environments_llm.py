"""The patient with a chat model: the rules still hold, what it gives away counts, and its failures leave no score."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from chat_server import ChatServer, Reply, always, failing

from medrl.chat.base import ChatError
from medrl.data.patient_cases import Fact, PatientCase, consultation
from medrl.environments import Episode, LLMPatient
from medrl.environments.patient_llm import LLMPatientEpisode
from medrl.types import Problem

Start = Callable[..., ChatServer]
CASE = PatientCase(
    30, "female", ("finding:neck_stiffness",),
    (
        Fact("finding:neck_stiffness", "neck stiffness"), Fact("finding:fever", "fever", weight=0.5),
        Fact("finding:headache", "headache", weight=0.5),
        Fact("finding:csf_neutrophilia", "neutrophils in the fluid", source="test", weight=1.0),
    ),
    {"onset": "Two days."}, {"test:lumbar_puncture": ("finding:csf_neutrophilia",)},
)  # fmt: skip


def problem(language: str = "en") -> Problem:
    return consultation("p", "My neck is stiff.", CASE, "bacterial meningitis", language, ("purulent meningitis",))


def begin(server: ChatServer, **knobs: Any) -> Episode:
    chat = {"type": "openai", "model": "m", "base_url": server.url, "max_retries": 0, **knobs}
    return LLMPatient(chat=chat).reset(problem(), 3)


def answers(episode: Episode, *turns: str) -> list[str | None]:
    async def run() -> list[str | None]:
        return [await episode.answer(turn) for turn in turns]

    return asyncio.run(run())


def test_what_the_model_gives_away_counts_and_the_rules_hold(chat_server: Start) -> None:
    requests: list[dict[str, Any]] = []

    def say(request: dict[str, Any], n: int) -> str:
        requests.append(request)
        return "Yes, I've been hot, a real fever."

    episode = begin(chat_server(say))
    said = answers(
        episode, "Do you have a fever?", "You have a headache, don't you?", "What is your diagnosis?",
        "Any fever? headache? vomiting? How long?", "I'm ordering a lumbar puncture.", "Diagnosis: gout",
    )  # fmt: skip
    assert said[0] == "Yes, I've been hot, a real fever." and said[-1] is None and "neutrophils" in str(said[4])
    assert len(requests) == 1  # leading questions, lists and orders never reach the model
    measured = episode.measured()
    assert measured["gain"] == pytest.approx(1.5 / 2) and measured["asked_gain"] == 0.25 and measured["refused"] == 3
    system = requests[0]["messages"][0]["content"]
    assert "fever" in system and "meningitis" not in str(requests) and "neutrophils" not in system


def test_a_model_that_fails_or_tells_the_diagnosis_fails_the_episode(chat_server: Start) -> None:
    for behaviour in (
        lambda request, n: failing(400),
        always("I think it is purulent meningitis."),
        lambda r, n: Reply(None),
    ):
        episode = begin(chat_server(behaviour))
        with pytest.raises(ChatError):
            answers(episode, "Do you have a fever?")


def test_the_same_seed_asks_the_same(chat_server: Start) -> None:
    seen: list[Any] = []

    def keep(request: dict[str, Any], n: int) -> str:
        seen.append((request["seed"], request["messages"]))
        return "No."

    server = chat_server(keep)
    for _ in range(2):
        answers(begin(server), "Do you have a fever?", "And a headache?")
    assert seen[:2] == seen[2:] and seen[0][0] != seen[1][0]


def test_it_travels_to_other_processes() -> None:
    import pickle

    made = LLMPatient(chat={"type": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"})
    assert isinstance(made.reset(problem("zh"), 0), LLMPatientEpisode)
    assert pickle.loads(pickle.dumps(made)) == made
