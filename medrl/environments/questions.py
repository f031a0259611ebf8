"""What a doctor's turn asks, orders and concludes, sentence by sentence, in English, Chinese and both mixed.

It is read by the names in the clinic's tables, the topics of a history (`medrl.rewards.consultation_topics`) and cue
words, never by the templates that made a text. Time is linear in the text: at most `READ` characters of a turn are
read, and sentences recur, so what they say is remembered.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from medrl.data.clinic.mentions import Mention, mentions, plain
from medrl.data.clinic.world import World, load_world
from medrl.rewards.consultation_lexicon import BREAK, is_question
from medrl.rewards.consultation_topics import TOPICS

READ = 2000  # characters of a turn that anybody takes in
SENTENCE = 400  # characters of a sentence
LONG = 8  # words

# Without one of these pieces in a sentence the topic's pattern cannot match (a test holds both against each other).
TRIGGERS = {
    "age": ("old", "age", "多大", "几岁", "岁数", "年龄"),
    "sex": ("male", "sex", "gender", "man", "性别", "男"),
    "pregnancy": ("pregnan", "breast", "period", "expecting", "孕", "妊娠", "哺乳", "月经", "喂奶"),
    "allergy": ("allerg", "react", "过敏"),
    "renal": ("kidney", "renal", "creatinine", "肾"),
    "drugs": ("medic", "drug", "tablet", "pill", "treatment", "taking", "take", "tried", "药"),
    "onset": ("how ", "when", "start", "began", "begin", "come on", "久", "天", "时间", "时候", "何时"),
    "severity": ("how ", "out of", " to 1", " to ten", "getting", "wake", "from", "厉害", "严重", "疼", "痛", "几分", "程度",
                 "加重", "影响"),
    "site": ("where", "which", "spread", "radiate", "travel", "point", "哪", "位置", "部位", "放射", "左边"),
    "character": ("what ", "feel", "sharp", "dull", "burning", "throbbing", "cramping", "come", "constant", "什么", "阵",
                  "持续", "刺痛", "隐痛", "胀痛", "绞痛"),
    "triggers": ("make", "bring", "set", "anything", "what ", "after", "before", "with", "during", "诱因", "什么情况",
                 "活动后", "饭", "空腹", "缓解", "休息后"),
    "past": ("history", "other", "chronic", "long-term", "underlying", "existing", "before", "既往", "病史", "慢性", "基础病",
             "以前", "得过"),
    "family": ("family", "father", "mother", "parents", "sibling", "brother", "sister", "children", "kids", "家", "父母",
               "兄弟", "姐妹", "遗传"),
    "habits": ("smok", "alcohol", "drink", "travel", "contact", "anyone", "烟", "酒", "外出", "旅行", "接触", "身边"),
    "life": ("work", "job", "occupation", "living", "live ", "exercis", "diet", "married", "工作", "职业", "做什么", "久坐",
             "饮食"),
    "tests": ("had", "done", "have", "result", "measured", "checked", "taken", "做过", "查", "拍过", "化验", "量过"),
    "else": ("other", "any", "along", "together", "还有", "别的", "其他", "其它", "伴"),
    "complaint": ("brings", "going on", "main", "what", "哪里", "怎么", "什么", "主要"),
}  # fmt: skip

_LEADING = re.compile(
    r"\b(?:don't you|do you not|didn't you|haven't you|aren't you|isn't (?:it|that so)|surely|obviously"
    r"|of course|you must (?:have|be)|admit)\b|\b(?:right|correct|agreed?|no|yes)\s{0,3}\?$"
    r"|^(?:so |and |then |well,? )?you(?:'ve| have| are|'re| feel| do| did)\b(?! (?:had )?any)"
    r"|是吧|对吧|对不对|对吗|没错吧|肯定|一定有|一定是|想必|必然|应该有.{0,12}吧|吧[？?]",
    re.IGNORECASE,
)
_ANSWER_ASKED = re.compile(
    r"\b(?:your|the|my|correct|right|true|final) (?:diagnosis|answer)\b|\bwhat (?:disease|illness|condition|diagnosis)\b"
    r"|\bwhat do you (?:think|believe|suppose)\b|\bwhat (?:is|'s) wrong with you\b|\bwhat have you got\b"
    r"|\bdiagnos\w{0,8} (?:yourself|is it)|\b(?:tell|give|show|reveal|list)\b.{0,40}\b(?:diagnosis|answer|everything"
    r"|all (?:of )?(?:your|the) (?:symptoms|findings))\b"
    r"|诊断(?:结果)?是什么|什么病|啥病|正确答案|(?:告诉|说出|列出|透露).{0,12}(?:诊断|答案|病名|所有|全部)|你觉得是",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\bignore\b.{0,30}\b(?:instruction|previous|above|rule|role)|\bsystem prompt\b|\bmetadata\b|\bjson\b|\bpretend\b"
    r"|\byou are (?:now|an? (?:ai|assistant|model|doctor))\b|\brole ?-?play|\bout of (?:your )?(?:role|character)"
    r"|\b(?:reward|(?:full|high|highest|maximum) (?:score|marks)|the reference)\b"
    r"|忽略.{0,10}(?:指令|以上|之前|规则|角色)|系统提示|你(?:现在)?是(?:一个)?(?:AI|助手|医生|模型)|假装|扮演|角色|奖励|满分|参考答案",
    re.IGNORECASE,
)
_EXAMINE = re.compile(
    r"\bexamin|\bphysical exam"
    r"|\b(?:let me|i'll|i will|i'd like to|i want to|may i) (?:\w+ )?(?:look|check|feel|listen|press|measure|see)"
    r"|查体|体格检查|触诊|听诊|叩诊|让我(?:看|听|摸|按|查)|我(?:来|给你)(?:看|听|摸|按|查|量)|检查一下",
    re.IGNORECASE,
)
_ORDER_ASKED = re.compile(
    r"^(?:can|could|may|shall|should|would) (?:we|i|you)\b|\blet's\b|可以.{0,6}(?:做|查|开)|能.{0,4}(?:做|查)",
    re.IGNORECASE,
)
_NOT_ORDERED = re.compile(
    r"\b(?:no need|not need|don't need|without|not necessary|instead of)\b|不(?:需要|用|必)|无需|没必要", re.IGNORECASE
)
_FINAL = re.compile(
    r"\bdiagnosis\b(?:\s+ready)?(?:\s+(?:is|would be|must be)\b|\s{0,3}[:：])|诊断\s{0,3}(?:为|是|[:：])", re.IGNORECASE
)
_WORDS = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]")
_SMALL = frozenset(
    "a an and any are as at by do does did for from had has have in is it more not of on or than that the there this to "
    "was with you your when been very some feel feeling noticed ever".split()
)


@dataclass(frozen=True)
class Sentence:
    """What one sentence of a doctor does.

    Attributes:
        text: As it is searched.
        question: Whether it asks.
        leading: Whether it puts the answer into the patient's mouth.
        answer_asked: Whether it asks for the diagnosis itself, or for everything at once.
        role: Whether it speaks to whoever plays the patient.
        examines: Whether it is a physical examination.
        concludes: Whether it states a final diagnosis.
        findings, diseases, tests: What it names; tests as `test:ID`, `lab:ID` or `procedure:ID`.
        orders: Whether it orders the tests that it names.
        topics: What it asks for of a history.
        pieces: Its words, and pairs of Chinese characters, for names that the tables do not have.
    """

    text: str
    question: bool
    leading: bool
    answer_asked: bool
    role: bool
    examines: bool
    concludes: bool
    findings: tuple[str, ...]
    diseases: tuple[str, ...]
    tests: tuple[str, ...]
    orders: bool
    topics: tuple[str, ...]
    pieces: frozenset[str]


def read_turn(text: str) -> tuple[Sentence, ...]:
    """The sentences of a turn, as far as anybody reads it."""
    return tuple(
        _sentence(part[:SENTENCE]) for piece in BREAK.split(text[:READ]) if (part := piece.strip()) and _says(part)
    )


def _says(part: str) -> bool:
    return any(map(str.isalnum, part))


@lru_cache(maxsize=1 << 16)
def _sentence(part: str) -> Sentence:
    world, text = load_world(), plain(part)
    named = mentions(world, text)
    findings, diseases, tests = _of(named, "finding"), _diseases(named), _tests(named, world)
    question, examines = is_question(part), _EXAMINE.search(text) is not None
    asks = question and not examines
    topics = topics_of(text) if asks else ()
    ordering = not question or _ORDER_ASKED.search(text) is not None
    concludes = not question and _FINAL.search(text) is not None
    return Sentence(
        text=text,
        question=question,
        leading=question and _LEADING.search(text) is not None,
        answer_asked=_ANSWER_ASKED.search(text) is not None and not concludes,
        role=_ROLE.search(text) is not None,
        examines=examines,
        concludes=concludes,
        findings=findings,
        diseases=diseases,
        tests=tests,
        orders=bool(tests) and ordering and not concludes and not _NOT_ORDERED.search(text),
        topics=topics,
        pieces=pieces_of(text),
    )


def topics_of(text: str) -> tuple[str, ...]:
    """Topics of a history that a question (`plain`) asks for."""
    return tuple(
        name
        for name, triggers in TRIGGERS.items()
        if any(piece in text for piece in triggers) and TOPICS[name].asked.search(text)
    )


def pieces_of(text: str) -> frozenset[str]:
    """Stems of its words without small ones, and pairs of neighbouring Chinese characters."""
    found, before = set(), ""
    for word in _WORDS.findall(text):
        if word.isascii():
            if word not in _SMALL:
                found.add(word.rstrip("s")[:7])
            before = ""
        else:
            if before:
                found.add(before + word)
            before = word
    return frozenset(found)


def names_fact(pieces: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether words that were said name a thing with these words.

    Six tenths of its words, and two where it has two. A whole sentence of a case (more than `LONG` words) is named by most of
    the words of the question.
    """
    common = len(pieces & wanted)
    most = min(len(wanted), len(pieces)) if len(wanted) > LONG else len(wanted)
    return bool(wanted) and common >= min(2, len(wanted)) and common >= 0.6 * most


def _of(named: Sequence[Mention], table: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{table}:{key}" for one in named for key in one.of(table)[:1]))


def _diseases(named: Sequence[Mention]) -> tuple[str, ...]:
    """Names that are diseases and nothing that a patient can feel."""
    return _of([one for one in named if not one.of("finding")], "disease")


def _tests(named: Sequence[Mention], world: World) -> tuple[str, ...]:
    investigations = {key for disease in world.diseases.values() for key in disease.tests} if named else set()
    found = []
    for one in named:
        if one.of("finding") or one.of("disease"):
            continue
        for table in ("test", "lab", "procedure"):
            keys = one.of(table)
            if keys and (table == "test" or keys[0] in investigations or table == "lab"):
                found.append(f"{table}:{keys[0]}")
                break
    return tuple(dict.fromkeys(found))


def forget() -> None:
    """Forget what was read before, to measure reading itself."""
    _sentence.cache_clear()
