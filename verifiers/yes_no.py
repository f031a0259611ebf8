"""Yes, no or maybe, in English and Chinese, against a reference of that kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from medrl.types import Problem, Verdict
from medrl.verifiers.choice_labels import chosen_labels
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import normal
from medrl.verifiers.polarity import NARROWS, asks_no, stance
from medrl.verifiers.reading import AnswerVerifier
from medrl.verifiers.wording import last_sentence
from medrl.verifiers.yes_no_tail import contradicts

Side: TypeAlias = Literal["yes", "no", "maybe"]

_WHOLE: dict[Side, str] = {
    "yes": "yes|true|correct|affirmative|是|是的|对|对的|正确|可以|能|会|有|应该|推荐|需要",
    "no": "no|false|incorrect|negative|否|不是|不|不对|错|错误|不正确|不可以|不能|不会|不行|没有|无|不应该|不应|"
    "不推荐|不需要|不宜|禁止|禁用|禁忌",
    "maybe": "maybe|possibly|perhaps|uncertain|unclear|inconclusive|cannot be determined|可能|也许|或许|不确定|"
    "不一定|不清楚|不详|未知|未必|不见得|视情况而定",
}
# "Correct" is also what flatters a judge, so it answers only a question whose reference is such a word.
_TRUTH = {normal(word) for word in "true|correct|正确|对|对的|false|incorrect|错|错误|不正确".split("|")}
_SIDES = {normal(word): side for side, words in _WHOLE.items() for word in words.split("|")}
# As a whole answer only: "Yes, absolutely not" is neither.
_EMPHATIC: dict[str, Side] = {
    **dict.fromkeys(
        map(normal, "absolutely|certainly|definitely|of course|indeed|it does|当然|当然可以".split("|")), "yes"
    ),
    **dict.fromkeys(
        map(
            normal,
            "absolutely not|certainly not|definitely not|of course not|not at all|never|it does not|it doesn't|"
            "当然不|当然不能|当然不可以|绝对不能|绝对不可以|绝不|不允许|不建议".split("|"),
        ),
        "no",
    ),
}
# What an answer opens with decides; a bare word elsewhere does not.
_OPENS = re.compile(
    r"(yes|no|maybe|true|false|不是|不可以|不能|不会|不应该?|不推荐|不需要|不宜|禁用|禁止|禁忌|未必|不见得|没有|是的|不确定|不一定|是|否|"
    r"对|可以|可能|有|无|能)"
    r"(?=\s*(?:$|[，。；、,.;:!！(（\n—-]|(?:and|or|but)\b))",
    re.IGNORECASE,
)
_PARTS = re.compile(r"[,，.。;；:：/、!！?？]|\b(?:and|or|but)\b|和|或|但", re.IGNORECASE)
# What follows may turn the opening round: "yes, it is not true", "no, that is correct", "yes, unless …".
_IT = r"\b(?:it|that|this|they)(?:'s)? (?:\w{1,20} )?"
_BUT = r"\bunless\b|\botherwise\b|\bon the other hand\b|"
_TURNS = {
    "yes": re.compile(
        rf"{_BUT}{_IT}(?:not|cannot|\w{{2,6}}n't|false|incorrect|wrong|untrue)\b|\bnot?(?=\W*$)|"
        r"\b(?:absolutely|certainly|definitely) not\b",
        re.IGNORECASE,
    ),
    "no": re.compile(
        rf"{_BUT}{_IT}(?:true|correct|right|not (?:false|incorrect|wrong|untrue))\b|\byes\b", re.IGNORECASE
    ),
}
_MAY_WELL = re.compile("没有什么不(?:可以|能|行)")
_MARKS = re.compile(r"[\W_]*")
_DOUBLE = re.compile(
    r"没有.{0,6}不|不是不|并非不|不可能不|not (?!until\b|unless\b|under\b|in\b|into\b)(?:un|in)\w+|"
    r"no .{0,20}\bnot\b|not .{0,20}\bno\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class YesNo(AnswerVerifier):
    """Decides yes / no / maybe; an answer that says two of them is wrong."""

    name: ClassVar[str] = "yes_no"

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        question = problem.question
        wanted = side(str(problem.reference), question)
        if wanted is None:
            labels = {label.casefold(): text for label, text in problem.options.items()}
            wanted = side(labels.get(str(problem.reference).strip().casefold(), ""), question)
        if wanted is None:
            return Verdict.abstain(f"the reference {problem.reference!r:.60} is neither yes, no nor maybe")
        opens = spoken(answer.text, question)
        given = opens or stated(answer.text, question) or echoed(answer.text, question)
        options = {label.strip().upper(): text for label, text in problem.options.items()}
        chosen = chosen_labels(answer.text, options) if options else frozenset()
        if isinstance(chosen, str) and " beside " in chosen:
            return Verdict.abstain(chosen)
        labelled = _sides(chosen, options, question)
        if given is None and len(labelled) == 1:
            given = next(iter(labelled))
        if normal(answer.text) in _TRUTH and normal(str(problem.reference)) not in _TRUTH:
            return Verdict.abstain("the answer calls something right or wrong, which the question does not ask")
        meant = stance(answer.text, question) if given is None else None
        if meant and (meant.exact or meant.side != wanted):
            given = meant.side
        if given is None:
            return Verdict.abstain("the answer does not open with yes, no or maybe")
        tail = _ENDS.split(answer.text, maxsplit=1)[1:]
        if given == wanted == opens and any(contradicts(given, one, question) for one in tail):
            return Verdict.abstain(f"it says {given}, and then what may be the contrary")
        if given == wanted == "yes" and any(instead(one, last_sentence(question)) for one in tail):
            return Verdict.abstain("it says yes, and then what may be another thing")
        others = {*labelled, *(side(one, question) for one in answer.after)}
        others |= {spoken(one, question) for one in answer.earlier}
        for earlier in answer.earlier if options else ():
            others |= _sides(chosen_labels(earlier, options), options, question)
        if given == "both" or others - {given, None}:
            return Verdict.wrong("the answer says two of yes, no and maybe")
        return (
            Verdict.right(f"{given}, as the reference")
            if given == wanted
            else Verdict.wrong(f"{given} where {wanted} is right")
        )


# What turns a statement round, or narrows it.
_UNDOES = re.compile(
    r"\b(?:but|however|unless|except|although|only|may|might|could|sometimes|rarely|not|no|never|without|"
    r"true|correct|right|answer|wrong|false|incorrect|untrue|doubt\w*)\b|n't\b|"
    r"错|误|但|除非|除外|不过|然而|虽|仅|只|可能|有时|部分|不|无|未|没|否|避免|禁|停",
    re.IGNORECASE,
)
_STATES = re.compile(
    r"(?:(?:there (?:is|are|was|were)|it has|the patient has) )?"
    r"(?:no|none|没有|无|否认|未见|未发现|不存在)(?P<what>[^.,，。；;]{0,60})(?P<more>[.,，。；;].*)?",
    re.IGNORECASE,
)
_HAVES = re.compile(
    r"\b(?:is|are|was|were|has|have|does|do) (?:there|the|it|this|any)\b|有无|有没有|是否有|是否存在|有.{0,12}吗",
    re.IGNORECASE,
)
_HAVES_NO = re.compile(r"\b(?:no|not|never|without)\b|n't\b|是否[没无不未]", re.IGNORECASE)
_EMPTY = frozenset("any such sign evidence of 明 显 的 任 何 征 象 证 据 迹 表 现 对".split())
_NO = re.compile(r"[不无未没否]|\b(?:no|not|never|without)\b", re.IGNORECASE)
_AFFIRMS = re.compile(r"\byes\b|是|有|对", re.IGNORECASE)


def stated(text: str, question: str) -> Side | None:
    """No, where the question asks whether there is something and the answer says that there is none of it."""
    match = _STATES.fullmatch(text.strip()) if len(text) < 120 and not _DOUBLE.search(text) else None
    more = (match["more"] or "") if match else ""
    if match is None or _NO.search(match["what"]) or _UNDOES.search(more) or _AFFIRMS.search(more):
        return None
    if not _HAVES.search(question) or _HAVES_NO.search(last_sentence(question)):
        return None
    what = [word for word in normal(match["what"]).split() if word not in _EMPTY]
    asked = normal(question).split()
    return "no" if all(word in asked for word in what) else None


# The verb of an answer that says the question again: 应当注射, "it should not be given". What is a duty and what is allowed
# are two things, so the verb of the question must be of the same sort.
_VERB_HAN = re.compile(
    r"(?:并|也|绝对?)?(?P<no>不)?(?:(?P<duty>应当|应该|应|该|宜|需要?|必须|必|用)|(?P<can>可以?|能够?|会))(?P<rest>[^吗呢?？]*)",
    re.DOTALL,
)
_ASKS_HAN = re.compile(
    r"(?:(?P<duty>应当|应该|应否|应|该(?![患病例儿药])|宜|需要?|必须)|(?P<can>可否|可以?|能否|能够?|会(?![诊阴])))(?P<rest>.*)",
    re.DOTALL,
)
_VERB = re.compile(
    r"(?P<who>it|they|he|she|this|these) (?P<verb>is|are|was|were|does|do|did|can|should|must|will|has|have)"
    r"(?P<no>n't|'t| not|not)?(?: (?P<rest>[^?]*))?"
)
_OF_THINGS = re.compile("contraindicated|forbidden|prohibited|unsafe|safe")  # no patient is
# Whole answers that say a duty or a leave in other words: 必不可少, 没有必要, 没有不可以的理由.
_SAID_HAN = re.compile(
    r"(?:(?P<must>(?:是)?必不可少的?|不可(?:缺少|或缺|缺)的?|(?:很|非常|十分)?有必要|势在必行|要|需|必须|应当|应该)|"
    r"(?P<need_not>(?:完全|大可)?(?:没有?|无)(?:此|这个|任何)?必要|并非(?:必须|必需|必要)的?|大可不必|不要|不必|不需)|"
    r"(?P<may>没有(?:任何|什么)?(?:不(?:可以?|能|行|准|许)|禁止)(?:使用|应用|用|做|进行)?的(?:理由|道理|依据)))"
    r"(?:[，,](?:(?:必须|应当?|应该|需要?)(?P<more>[^，。；,;不无非未没否或但除]{1,16})|(?(need_not)可以?不[^，。；,;必可能行得]{1,8}|(?!))))?"
)
_EITHER = re.compile(r"(.)[不没未]\1|是否")
_ASKS_NO = re.compile(r"不|没|无|非|避免|禁|停|慎|拒|\b(?:not|never|no|avoid|stop\w*|withh\w+)\b|n't\b", re.IGNORECASE)
_GOES_ON = re.compile(r"(?: (?:to|in|for|at|with|during|after|before|of|on|when|if|by)\b.*)?")


def echoed(text: str, question: str) -> Side | None:
    """Yes or no, where an answer says the question again as a statement, affirmed or denied, and nothing else but why.

    "It is contraindicated" to "Is metformin contraindicated at an eGFR of 20?"; 不必注射 to 是否应注射免疫球蛋白？. What it
    says must stand in the question as it does there: "it is effective" says nothing of "Is it more effective than Y?".
    """
    last = _EITHER.sub(r"\1", last_sentence(question)).strip().lower()
    if len(text) > 200 or _ASKS_NO.search(last):
        return None
    if (said := _SAID_HAN.fullmatch(text.strip(" 。！!."))) and (asks := _ASKS_HAN.search(last)):
        duty = bool(said["must"] or said["need_not"])
        if duty != bool(asks["duty"]) or (said["more"] or "") not in last:
            return None
        return "no" if said["need_not"] else "yes"
    clause, *others = _ENDS.split(text.strip(), maxsplit=1)
    if any(_UNDOES.search(one) or instead(one, last) for one in others):
        return None
    if any(c in text for c in "?？") or _DOUBLE.search(text):
        return None
    match, asks = _VERB_HAN.fullmatch(clause.strip()), _ASKS_HAN.search(last)
    if match and asks:
        rest, behind = match["rest"].strip(), asks["rest"].lstrip("不没有否")
        same = bool(match["duty"]) == bool(asks["duty"]) and behind.startswith(rest) and not _UNDOES.search(rest)
        return ("no" if match["no"] else "yes") if same else None
    match = _VERB.fullmatch(clause.strip().lower())
    if match is None or not last.startswith(f"{match['verb']} "):
        return None
    rest, asked = normal(match["rest"] or ""), normal(last.rstrip("? "))
    if match["who"] in ("he", "she") and _OF_THINGS.match(rest):
        return None
    if _UNDOES.search(rest) or (NARROWS.search(last) and not NARROWS.search(rest)):
        return None
    subject, found, behind = asked.rpartition(f" {rest}")
    held = not rest or (found and len(subject.split()) > 1 and _GOES_ON.fullmatch(behind))
    return ("no" if match["no"] else "yes") if held else None


_ENDS = re.compile(r"[,，.。;；!！\n]")
# After a yes, what is to be done in place of what is asked: 需要，应该择期; 可以，必须停药.
_INSTEAD = re.compile(
    "推迟|延[迟后期]|推后|暂缓|等待|观察|择期|代替|替代|改[用行为做]|试产|顺产|保守|停|禁|缓|可以?不|不(?:做|用|补|急)|[天周月年以]后"
)
_DUTY = re.compile(r"(?:应当|应该|应(?!激)|需要|需|必须|必|要|宜)(?P<rest>[^，。；,;！!]{1,20})")
_HASTE = re.compile("立[即刻]|马上|尽[快早]|及[时早]|积极|紧急|急诊|进行|给予|的$")


def instead(tail: str, last: str) -> bool:
    """Whether what follows a yes says that something else be done than the last sentence of the question asks."""
    found = _INSTEAD.search(tail)
    if found and found[0] not in last:
        return True
    asks = _ASKS_HAN.search(last)
    return bool(asks and asks["duty"]) and any(_HASTE.sub("", one["rest"]) not in last for one in _DUTY.finditer(tail))


def _sides(
    chosen: frozenset[str] | str, options: Mapping[str, str], question: str
) -> set[Side | Literal["both"] | None]:
    """What the options say that an answer chose by `chosen_labels`."""
    if isinstance(chosen, str):
        return {"both"} if chosen.startswith("the letter") or " beside " in chosen else set()
    return {side(options[label], question) for label in chosen}


def side(text: str, question: str) -> Side | None:
    """Which of the three a text is, as a whole, as an answer to a question."""
    return _word(text, question) or _doing(text, question)


_ASKS_EITHER = re.compile(
    r"吗(?![啡替丁])|(?<!什)么\W*$|[是能可应与]否|有无|(.)[不没]\1|"
    r"^\W*(?:is|are|was|were|do|does|did|has|have|can|could|may|should|must|will)\b",
    re.IGNORECASE,
)


def either(problem: Problem) -> bool:
    """Whether a problem is one of yes or no; 禁止使用 is so only where the question asks for yes or no."""
    reference = str(problem.reference)
    found = _SIDES.get(normal(reference))
    if found == "maybe" or (found and not _MODAL.search(reference.replace("有", ""))):
        return True
    sided = found or _doing(reference, "可以")
    return sided is not None and _ASKS_EITHER.search(last_sentence(problem.question)) is not None


# Words of duty and leave. To 是否禁用？ they say the contrary of what they say to 能否使用？.
_MODAL = re.compile("[可能会应需宜禁忌有行]|推荐|允许|建议")
_ASKS_MODAL = re.compile("[可能应该需宜要必]|推荐|建议|允许|适[合宜用]")


def _word(text: str, question: str, words: Mapping[str, Side] = _SIDES) -> Side | None:
    """Which of the three a word is; to a question in the negative, a modal verb only where the question asks by it."""
    found = words.get(normal(text))
    modal = _MODAL.search(text.replace("无", "有")) if found and found != "maybe" else None
    if modal is None:
        return found
    verb, last = modal[0], last_sentence(question)
    if not asks_no(last):
        return found if verb in "会有" or last.isascii() or _ASKS_MODAL.search(last) else None
    same = "[可能]" if verb in "可能" else verb
    asked = re.search(rf"是否{same}|{same}否|({same})[不没]\1", last.replace("有无", "有没有"))
    return found if asked and verb not in "宜禁忌" else None


# 可以使用, 不能应用: the modal verb decides.
_DOING = re.compile(r"(?P<modal>.{1,4}?)(?:继续)?(?:使用|应用|服用|接种|进行|用|做)[.。]?")


def _doing(text: str, question: str) -> Side | None:
    match = _DOING.fullmatch(text) if 1 < len(text) < 9 and not text.isascii() else None
    if match is None or match["modal"] in _NO_MODAL:
        return None
    last = last_sentence(question)
    return _SIDES.get(normal(match["modal"])) if _ASKS_MODAL.search(last) and not asks_no(last) else None


_NO_MODAL = frozenset("有 没有 无 是 不是 否 对 不对 错 错误 正确 是的 对的 会 不会 可能 不".split())


def spoken(text: str, question: str) -> Side | Literal["both"] | None:
    """Which of the three an answer commits to, by how it opens."""
    text = text[:600]
    whole = side(text, question) or _word(text, question, _EMPHATIC)
    if whole:
        return whole
    if _MAY_WELL.match(text) and not asks_no(last_sentence(question)):
        return "yes"
    if _DOUBLE.search(text):
        return None
    opening = _MARKS.match(text)
    match = _OPENS.match(text, opening.end() if opening else 0)
    found = _word(match[1], question) if match else None
    if match is None or found is None:
        return None
    tail = text[match.end() :]
    said = {_word(part.strip().removeprefix("也"), question) for part in _PARTS.split(tail)} - {found, None}
    if not said and found in _TURNS and _TURNS[found].search(tail):
        return None
    return "both" if said else found
