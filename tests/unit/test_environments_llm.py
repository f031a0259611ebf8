"""The patient with a chat model: the rules still hold, what it gives away counts, and only an outage leaves no score."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from chat_server import ChatServer, Reply, always, failing

from medrl.chat.base import ChatError
from medrl.data.patient_cases import Fact, PatientCase, consultation
from medrl.environments import Episode, LLMPatient
from medrl.environments.patient_llm import LLMPatientEpisode
from medrl.environments.patient_words import WORDS
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


def test_only_a_model_that_cannot_be_reached_fails_the_episode(chat_server: Start) -> None:
    for behaviour in (lambda request, n: failing(400), lambda request, n: failing(503)):
        with pytest.raises(ChatError):
            answers(begin(chat_server(behaviour)), "Do you have a fever?")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("Yes, a fever since", finish_reason="length"), ("Yes, a fever since",)),
        (Reply(None), WORDS["cannot_know"][0]),
        (Reply("  ", finish_reason="length"), WORDS["cannot_know"][0]),
        (Reply("I think", finish_reason="content_filter"), WORDS["cannot_know"][0]),
        (Reply("I think it is purulent-meningitis."), WORDS["diagnosis"][0]),
    ],
)
def test_no_words_of_the_policy_make_the_episode_fail(chat_server: Start, reply: Reply, said: tuple[str, ...]) -> None:
    episode = begin(chat_server(lambda request, n: reply))
    (answer,) = answers(episode, "Could a purulent meningitis come with a fever?")
    assert answer in [one.format(it="fever") for one in said]
    measured = episode.measured()
    told = reply.text == "Yes, a fever since"
    assert (measured["gain"], measured["answered"], measured["asked"]) == (0.25 * told, 1 * told, 1)


def test_the_diagnosis_is_looked_for_in_whole_words(chat_server: Start) -> None:
    def says(text: str, diagnosis: str, alias: str, language: str = "en") -> str | None:
        server = chat_server(always(text))
        asked = consultation("p", "Hello.", CASE, diagnosis, language, (alias,))
        chat = {"type": "openai", "model": "m", "base_url": server.url, "max_retries": 0}
        return answers(
            LLMPatient(chat=chat).reset(asked, 3), "How long has it been?" if language == "en" else "多久了？"
        )[0]

    for text, alias in (
        ("It happens when I drink fluids, and there is a rash.", "PE"), ("It happens with fluids.", "flu"),
        ("There is a rash.", "RA"), ("Two days, that's all.", "ALL"),
    ):  # fmt: skip
        assert says(text, "none", alias) == text
    for text, alias in (
        ("It's a PE.", "PE"), ("it's a pe", "PE"), ("Maybe ALL?", "ALL"), ("Two strokes.", "stroke"),
        ("Crohn’s disease, I guess", "Crohn's disease"),
    ):  # fmt: skip
        assert says(text, "none", alias) in WORDS["diagnosis"][0]
    assert says("两天了，我怕是脑膜炎。", "脑膜炎", "", "zh") in WORDS["diagnosis"][1]
    assert says("两天了。", "脑膜炎", "PE", "zh") == "两天了。"


def test_an_empty_turn_never_reaches_the_model(chat_server: Start) -> None:
    server = chat_server(always("No."))
    for said in answers(begin(server), "", "  \n", "..."):
        assert said in WORDS["nothing"][0]
    assert not server.requests


def test_not_knowing_is_no_answer(chat_server: Start) -> None:
    for question, reply, answered in (
        ("Do you own a boat?", "I don't know.", 0), ("Do you own a boat?", "Yes, a small one.", 0),
        ("How long has it been?", "I'm not sure.", 0), ("How long has it been?", "Since the day before yesterday.", 1),
        ("How long has it been?", "I don't know exactly, but two days or so.", 1),
        ("Do you have a fever?", "I can't say whether I have a fever.", 0), ("Do you have a fever?", "Yes.", 1),
        ("Any vomiting?", "No.", 1), ("What was your white cell count?", "Normal.", 0),
    ):  # fmt: skip
        episode = begin(chat_server(always(reply)))
        answers(episode, question)
        assert episode.measured()["answered"] == answered, (question, reply)
    said = ["I don't know.", "Yes, a fever."]
    episode = begin(chat_server(lambda request, n: said[n]))
    answers(episode, "Do you have a fever?", "Do you have a fever?")
    assert episode.measured()["gain"] == 0.25 and episode.measured()["repeats"] == 1


def test_a_language_without_words_of_its_own_is_played_in_english(chat_server: Start) -> None:
    server = chat_server(always("Yes."))
    german = replace(problem(), language="de")
    episode = LLMPatient(chat={"type": "openai", "model": "m", "base_url": server.url}).reset(german, 0)
    assert answers(episode, "Do you have a fever?") == ["Yes."] and "You have: fever" in str(server.requests)


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
