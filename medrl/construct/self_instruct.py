"""Distilled instructions: a chat model writes new questions from hand-written examples, then answers them.

Self-Instruct (arXiv 2212.10560) as HuatuoGPT uses it (arXiv 2305.15075, section 3.1): a few examples are shown, the model
writes one that differs, and what is nearly one that is there already is left out. What differs: one question a request, and
examples drawn by the row's number alone, so that a row can be made again by itself, and rows be made in any order. Where
Self-Instruct shows its own later questions too, here a finished construction is the `pool` of the next one.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from medrl.chat.base import Message
from medrl.construct.near_duplicates import NearDuplicates
from medrl.construct.pipeline import Dropped, Item, Kept, Stage, Work
from medrl.construct.roles import Role
from medrl.construct.rows import read_dialogue
from medrl.construct.slots import REMINDER, RULES, an_object, chat
from medrl.construct.turns import on_one_line, read_turn, text_schema
from medrl.data.rows import collect, read_rows, required
from medrl.errors import RecipeError
from medrl.knobs import out_of_range
from medrl.seeds import seed_of
from medrl.verifiers.judge_prompt import Language
from medrl.verifiers.protocol import digest

SEEDS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "My father takes blood thinners and had a nosebleed for ten minutes. What should we do?",
        "Which foods should I leave out while I take warfarin?",
        "What is the difference between a cold and the flu?",
        "My toddler has had a fever since last night and will not drink. When do we have to see somebody?",
        "Explain in simple words what an echocardiogram shows.",
        "I was told that my potassium is 5.9. Is that dangerous?",
        "How do I use a spacer with my asthma inhaler?",
        "I am 20 weeks pregnant and my ankles swell in the evening. Is this normal?",
        "Write down what I should tell the doctor before my knee operation.",
        "Since I began the new blood pressure tablet I have a dry cough. What now?",
    ),
    "zh": (
        "我父亲在吃抗凝药，流鼻血十分钟了，怎么办？",
        "吃华法林期间哪些食物要少吃？",
        "普通感冒和流感有什么区别？",
        "孩子从昨晚开始发烧，不肯喝水，什么时候必须去医院？",
        "用通俗的话解释一下心脏彩超能看出什么。",
        "化验单上血钾5.9，危险吗？",
        "哮喘吸入器配储雾罐怎么用？",
        "怀孕20周，傍晚脚踝肿，正常吗？",
        "膝盖手术前我应该告诉医生哪些情况？请列出来。",
        "换了新的降压药以后一直干咳，怎么办？",
    ),
}
ASK: Mapping[Language, str] = {
    "en": """\
EXAMPLES holds questions of patients. Write one new question that a patient might send to a doctor: another complaint or \
topic, another form, as concrete as these. Reply with one JSON object and nothing else: "instruction", the question alone.""",
    "zh": """\
EXAMPLES 是患者的提问。请写一个患者可能发给医生的新提问：换一个主诉或话题，换一种问法，同样具体。\
只回复一个 JSON 对象，不要其他内容："instruction"，只写提问本身。""",
}
ANSWER: Mapping[Language, str] = {
    "en": """\
QUESTION is a patient's. Answer as a doctor would: ask back where something decisive is missing, else say what it most \
likely is, what to do, and when to come at once. No disclaimers. Reply with one JSON object and nothing else: "reply", the \
answer.""",
    "zh": """\
QUESTION 是患者的提问。请像医生一样回答：缺少关键信息就追问，否则说明最可能的情况、该怎么做、何时立即就医。\
不要写免责声明。只回复一个 JSON 对象，不要其他内容："reply"，即回答。""",
}
INSTRUCTION_SCHEMA = an_object(instruction=text_schema(400))
REPLY_SCHEMA = an_object(reply=text_schema(3000))
VERSION = digest([dict(RULES), dict(REMINDER), dict(ASK), dict(ANSWER), INSTRUCTION_SCHEMA, REPLY_SCHEMA])
"""A hash of every text above: rows say which prompts made them."""
SHOWN = 4  # examples in a request; a quarter of them from the pool, as in Self-Instruct


@dataclass(frozen=True)
class InstructionStage(Stage):
    """Writes one question that is not there yet, and its answer."""

    writer: Role
    """Who writes the questions. Paper: ChatGPT. Temperature 0.7 to 1: a greedy writer writes the same again and again."""
    answerer: Role | None = None
    """Who answers them, where not the writer."""
    language: Literal["en", "zh"] = "en"
    """Language of prompts, questions and answers. Paper: zh."""
    examples: str | None = None
    """File or hub id of hand-written questions (column `instruction`, or dialogues in any published schema, of which the
    first turn is taken); empty for ten bundled ones of each language, which are few: write 100 or more of your own."""
    pool: str | None = None
    """The same of questions made before, such as rows.jsonl of an earlier construction; a quarter of the examples comes from
    there, and nothing that is nearly one of them is kept."""
    draws: int = 3
    """How many questions are asked for until one is new; where none is, the row is left out. Typical 1 to 5."""
    likeness: float = 0.5
    """Highest share of common shingles (Jaccard, runs of three words) of two questions that are both kept. 0.4 to 0.7; at
    0.4 one in ten of the pairs just above it is overlooked, at 0.5 one in seventy."""
    name: ClassVar[str] = "instructions"

    def __post_init__(self) -> None:
        faults = out_of_range(self, above_0=("draws", "likeness"))
        if self.likeness > 1:
            faults.append(f"likeness is {self.likeness}; no share is above 1")
        if faults:
            raise RecipeError("the instruction stage", faults)

    @property
    def reasons(self) -> Sequence[str]:
        return ("near_duplicate",)

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The hand-written questions."""
        return questions_of(self.examples) if self.examples else SEEDS[self.language]

    @cached_property
    def earlier(self) -> tuple[str, ...]:
        """The questions of the pool."""
        return questions_of(self.pool) if self.pool else ()

    @cached_property
    def known(self) -> NearDuplicates:
        """All questions that are there: hand-written, of the pool, and kept so far."""
        found = NearDuplicates(self.likeness)
        for one in (*self.written, *self.earlier):
            found.add(one)
        return found

    def cached(self, path: Path) -> "InstructionStage":
        answerer = self.answerer and self.answerer.cached(path)
        found = replace(self, writer=self.writer.cached(path), answerer=answerer)
        vars(found).update(written=self.written, earlier=self.earlier)  # a pool may be large: read it once
        return found

    def identity(self) -> Mapping[str, Any]:
        return {
            "models": {"writer": self.writer.identity(), "answerer": (self.answerer or self.writer).identity()},
            "prompts": VERSION,
            "examples": digest(list(self.written)),
            "pool": digest(list(self.earlier)),
            "knobs": {name: getattr(self, name) for name in ("language", "draws", "likeness")},
        }

    def begin(self, kept: Iterable[Mapping[str, Any]]) -> None:
        for row in kept:
            self.known.add(question_of(row, 0))

    async def run(self, work: Work) -> Kept | Dropped:
        examples = self.shown(work.seed, work.item.number)
        question, tried = await self._question(work, examples)
        if question is None:
            return Dropped("near_duplicate", tried)
        read = partial(read_turn, schema=REPLY_SCHEMA, name="reply", who="the answerer", language=self.language)
        messages = chat(ANSWER[self.language], {"QUESTION": question}, self.language, work.seed)
        reply, _ = await work.ask(self.answerer or self.writer, messages, REPLY_SCHEMA, read)
        return Kept({"data": [f"问：{question}", f"答：{reply}"], "language": self.language}, {"examples": examples})

    def shown(self, seed: int, number: int) -> list[str]:
        """The examples of a row: drawn by its number, whatever other rows became."""
        draw = random.Random(seed_of("self-instruct", seed, self.language, number))
        again = draw.sample(self.earlier, min(SHOWN // 4, len(self.earlier)))
        return [*draw.sample(self.written, min(SHOWN - len(again), len(self.written))), *again]

    async def _question(self, work: Work, examples: Sequence[str]) -> tuple[str | None, str]:
        """A question that is new, from now on taken; None where none was, and the last one."""
        schema, text = INSTRUCTION_SCHEMA, ""
        read = partial(read_turn, schema=schema, name="instruction", who="the writer", language=self.language)
        for draw in range(self.draws):
            text, _ = await work.ask(self.writer, self._messages(work, examples), schema, read, draw)
            if self.known.add(text):
                return text, text
        return None, text

    def _messages(self, work: Work, examples: Sequence[str]) -> tuple[Message, Message]:
        slots = {"EXAMPLES": "\n".join(map(on_one_line, examples)), "NUMBER": str(work.item.number)}
        return chat(ASK[self.language], slots, self.language, work.seed)


def questions_of(source: str) -> tuple[str, ...]:
    """The questions of a file or hub data set.

    Raises:
        DataError: It cannot be read, or a row holds none.
    """
    name, rows = read_rows(source)
    return tuple(collect(name, rows, question_of, "question", unique=False))


def question_of(row: Mapping[str, Any], number: int) -> str:
    """The question in a row: its column `instruction`, or the first turn of its dialogue."""
    if "instruction" in row:
        return str(required(row, "instruction"))
    return str(read_dialogue(Item(str(row.get("id", f"row-{number}")), number, row))[0]["content"])
