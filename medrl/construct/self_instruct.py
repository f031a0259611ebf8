"""Distilled instructions: a chat model writes new questions from hand-written seeds, then answers them.

Self-Instruct (arXiv 2212.10560) as HuatuoGPT uses it (arXiv 2305.15075, section 3.1): a few seeds are shown, the model
writes one that differs, and what is nearly one that is there already is left out. What differs: one question a request,
so that a row can be made again by itself; near duplicates are found by shared shingles in linear time, where
Self-Instruct compares every pair by ROUGE-L above 0.7.
"""

import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from medrl.chat.base import ChatBadReply, ChatClient
from medrl.construct.asking import asked, chat, on_one_line, text_of, texts_schema
from medrl.seeds import seed_of
from medrl.verifiers.judge_prompt import Language

VERSION = "self-instruct-1"
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
topic, another form, as concrete as these. "instruction" is the question alone.""",
    "zh": """\
EXAMPLES 是患者的提问。请写一个患者可能发给医生的新提问：换一个主诉或话题，换一种问法，同样具体。\
"instruction" 只写提问本身。""",
}
ANSWER: Mapping[Language, str] = {
    "en": """\
QUESTION is a patient's. Answer as a doctor would: ask back where something decisive is missing, else say what it most \
likely is, what to do, and when to come at once. No disclaimers. "reply" is the answer.""",
    "zh": """\
QUESTION 是患者的提问。请像医生一样回答：缺少关键信息就追问，否则说明最可能的情况、该怎么做、何时立即就医。\
不要写免责声明。"reply" 为回答。""",
}
WHO = "the writer"
SHOWN = 4  # examples in a request
MOST = {"instruction": 400, "reply": 3000}  # characters


async def instruction(
    client: ChatClient, number: int, *, language: Language = "en", seeds: Sequence[str] | None = None,
    pool: Sequence[str] = (), known: "NearDuplicates | None" = None, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """One new instruction: `id`, `instruction`, `language`, `provenance` with the model, the prompt and the examples.

    Args:
        client: Who writes.
        number: Of the row; another number is shown other examples.
        language: en or zh.
        seeds: Hand-written examples; the bundled ones when empty.
        pool: Instructions made before; a quarter of the examples comes from there, as in Self-Instruct.
        known: All that is there already, kept by whoever writes many and adds what comes; without it each call compares with
            `seeds` and `pool`, and takes as long as these are.
        seed: Another seed draws other examples.

    Raises:
        ChatError: No reply that can be used; one that nearly is there already cannot.
    """
    rng = random.Random(seed_of("self-instruct", seed, language, number))
    written = list(seeds or SEEDS[language])
    again = rng.sample(list(pool), min(SHOWN // 4, len(pool)))
    examples = [*rng.sample(written, min(SHOWN - len(again), len(written))), *again]
    shown = "\n".join(map(on_one_line, examples))
    messages = chat(ASK[language], {"EXAMPLES": shown, "NUMBER": str(number)}, language, seed)
    seen = NearDuplicates()
    for one in [*written, *pool] if known is None else examples:
        seen.add(one)

    def check(found: Mapping[str, Any]) -> str:
        text = text_of(found, "instruction", WHO, MOST["instruction"])
        if not (seen.new(text) and (known is None or known.new(text))):
            raise ChatBadReply(f"{WHO} nearly wrote one that is there already: {text!r:.80}")
        return text

    text, about = await asked(
        client, messages, texts_schema(MOST["instruction"], "instruction"), WHO, VERSION,
        seed=seed, temperature=1.0, max_tokens=512, check=check,
    )  # fmt: skip
    key = f"self-instruct-{language}-s{seed}-{number:06d}"
    return {"id": key, "instruction": text, "language": language, "provenance": {**about, "examples": examples}}


async def answered(client: ChatClient, row: Mapping[str, Any], *, seed: int = 0) -> dict[str, Any]:
    """An instruction with its answer as a dialogue of one turn (`data`, the schema of HuatuoGPT-sft-data-v1).

    Raises:
        ChatError: No reply that can be used.
    """
    language: Language = "zh" if row.get("language") == "zh" else "en"
    question = str(row["instruction"])
    reply, about = await asked(
        client, chat(ANSWER[language], {"QUESTION": question}, language, seed), texts_schema(MOST["reply"], "reply"),
        "the answerer", VERSION, seed=seed, temperature=0.7, max_tokens=2048,
        check=lambda found: text_of(found, "reply", "the answerer", MOST["reply"]),
    )  # fmt: skip
    made = {"source": "distilled_instructions", "instruction": row.get("provenance"), "answer": about}
    return {"id": row["id"], "data": [f"问：{question}", f"答：{reply}"], "language": language, "provenance": made}


# Near duplicates

BANDS, PER_BAND = 16, 4
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")


@dataclass
class NearDuplicates:
    """Which texts are nearly ones seen before: Jaccard of their shingles (three words, or characters in Chinese) over `most`.

    Minhash with 16 bands of 4 (Broder 1997) finds a pair of Jaccard s with probability 1 - (1 - s^4)^16: 98 % at 0.7, 64 %
    at 0.5, 2 % at 0.2; what is found is compared exactly. Linear in texts and their lengths.
    """

    most: float = 0.5
    """Highest Jaccard of two texts that are both kept. Typical 0.4 to 0.7."""
    kept: list[frozenset[int]] = field(default_factory=list)
    buckets: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def new(self, text: str) -> bool:
        """Whether no text seen so far is nearly this one."""
        mine = shingles(text)
        near = {at for key in _bands(mine) for at in self.buckets.get(key, ())}
        return not any(len(mine & self.kept[at]) > self.most * len(mine | self.kept[at]) for at in near)

    def add(self, text: str) -> bool:
        """The same, and a new one is remembered."""
        if not self.new(text):
            return False
        mine = shingles(text)
        for key in _bands(mine):
            self.buckets.setdefault(key, []).append(len(self.kept))
        self.kept.append(mine)
        return True


def shingles(text: str) -> frozenset[int]:
    """Numbers of the runs of three words (or Chinese characters) of a text; of a shorter text, of all of it."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    runs = [words[at : at + 3] for at in range(max(1, len(words) - 2))]
    return frozenset(int.from_bytes(blake2b(" ".join(run).encode(), digest_size=8).digest(), "big") for run in runs)


_MIX = [(2 * at + 1) * 0x9E3779B97F4A7C15 % 2**64 | 1 for at in range(1, BANDS * PER_BAND + 1)]
_ADD = [at * 0xD1B54A32D192ED03 % 2**64 for at in range(BANDS * PER_BAND)]


def _bands(found: frozenset[int]) -> Iterator[tuple[int, ...]]:
    least = [min(((one * mix + add) % 2**64) >> 11 for one in found) for mix, add in zip(_MIX, _ADD, strict=True)]
    for band in range(BANDS):
        yield (band, *least[band * PER_BAND : (band + 1) * PER_BAND])
