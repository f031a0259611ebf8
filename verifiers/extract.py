"""Which part of a response counts as its answer, in English and Chinese.

Only text after the last reasoning block counts. Inside it the last committed statement is the answer; earlier ones that
were not taken back are kept beside it, because two exclusive answers are none. Everything here is one pass over the
text with bounded patterns, so hostile input costs linear time.
"""

import re
from collections import deque
from typing import Literal, NamedTuple, TypeAlias

from medrl.errors import RecipeError, did_you_mean
from medrl.verifiers.openers import OPENERS
from medrl.verifiers.patterns import Opening, Pattern

Format: TypeAlias = Literal["auto", "o1", "think", "plain", "o1-strict", "think-strict", "boxed", "answer"]
Span: TypeAlias = tuple[int, int]
How: TypeAlias = Literal["boxed", "tag", "stated", "short", "long"]
FORMATS: tuple[Format, ...] = ("auto", "o1", "think", "plain", "o1-strict", "think-strict", "boxed", "answer")
# Strict presets: which lenient one reads their sections, and what an answer must be besides.
_LENIENT: dict[Format, Format] = {"o1-strict": "o1", "think-strict": "think", "boxed": "auto", "answer": "auto"}
_ONLY: dict[Format, How] = {"boxed": "boxed", "answer": "tag"}
STRICT = frozenset(_LENIENT)

SHORT = 400  # characters of a visible answer that may be read as one answer
STATEMENT = 300  # characters that one statement may have
STATEMENTS = 64  # the last so many statements are read; a text with more is dumping answers

_O1 = Pattern(
    r"^[ \t]{0,8}#{1,6}[ \t]{0,8}\*{0,2}(?:(?P<open>thinking|思考)|(?P<close>final response|最终回答|最终回复))"
    r"\*{0,2}[ \t]{0,8}[:：]?[ \t]{0,8}\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_THINK = Pattern(r"<(?:(?P<open>think(?:ing)?)|/(?P<close>think(?:ing)?))>", re.IGNORECASE)


class Sections(NamedTuple):
    """A response in its two parts.

    Attributes:
        reasoning: What stands before the answer, markers left out; "" where there is none.
        answer: The visible answer; "" when there is none or the reasoning never ended.
        span: Where `answer` stands in the text.
        format: The format that was found: "o1", "think" or "plain".
        well_formed: Whether the text keeps the format's rules to the letter (a matter of form, never of correctness).
        fault: What is not well-formed, in words.
    """

    reasoning: str
    answer: str
    span: Span
    format: Format
    well_formed: bool
    fault: str = ""


class Extracted(NamedTuple):
    """The committed answer of a response.

    Attributes:
        text: The answer as it was written.
        span: `response[span[0]:span[1]] == text`.
        how: "boxed", "tag", "stated" (after words such as "the answer is"), "short" (the whole visible answer), or
            "long": the whole visible answer, too long to be read as one answer.
        earlier: Committed statements before it that were not taken back.
        after: Short sentences and lines that follow it, which may be further answers.
    """

    text: str
    span: Span
    how: How
    earlier: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def committed(self) -> bool:
        return self.how != "long"


def check_format(format: str) -> None:
    """Raise unless `format` is a known one; verifiers call it when they are built."""
    if format not in FORMATS:
        raise RecipeError("format", [f"{format!r} is not a format{did_you_mean(format, FORMATS)}"])


def sections(text: str, format: Format = "auto") -> Sections:
    """Part a response into reasoning and answer.

    Args:
        text: The whole response.
        format: "o1" (`## Thinking`, `## Final Response`), "think" (`<think>…</think>`), "plain" (all of it is the
            answer), or "auto": whichever markers there are. The strict presets are read as the lenient ones here.
    """
    check_format(format)
    first, start, broken, found = _marked(text, format)
    if broken:
        return Sections(text[first:].strip(), "", (len(text), len(text)), found, False, "the reasoning is never closed")
    reasoning = _MARKS.sub("", text[min(first, start) : start]).strip() if start else ""
    span = _trim(text, start, len(text))
    fault = _fault(text, found)
    return Sections(reasoning, text[slice(*span)], span, found, not fault, fault)


def visible(text: str, format: Format = "auto") -> Span:
    """Where the answer of a response stands, as `sections` has it, without what that tells of the form besides."""
    _, start, broken, _ = _marked(text, format)
    return (len(text), len(text)) if broken else _trim(text, start, len(text))


def _marked(text: str, format: Format) -> tuple[int, int, bool, Format]:
    """Where the reasoning begins and the answer, whether the reasoning is never closed, and the format that was found."""
    format = _LENIENT.get(format, format)
    found: Format = "plain" if format == "auto" else format
    first, start, broken = len(text), 0, False
    for name, pattern in _FAMILIES if format != "plain" and ("#" in text or "<" in text) else ():
        marks = list(pattern.finditer(text)) if format in ("auto", name) or not _own(text, format) else []
        if not marks:
            continue
        if format == "auto" and marks[-1].end() > start:
            found = name
        first = min(first, marks[0].end() if marks[0]["open"] else 0)
        start = max(start, marks[-1].end())
        broken = broken or marks[-1]["open"] is not None
    return first, start, broken, found


_FAMILIES: tuple[tuple[Format, Pattern], ...] = (("o1", _O1), ("think", _THINK))


def _own(text: str, format: Format) -> bool:
    """Whether a text has marks of the format that was named; where it has none, those of the other one part it."""
    return next(pattern for name, pattern in _FAMILIES if name == format).search(text) is not None


_MARKS = re.compile(
    f"{_O1.pattern}|{_THINK.pattern}".replace("?P<open>", "?:").replace("?P<close>", "?:"), re.IGNORECASE | re.MULTILINE
)


def _fault(text: str, format: Format) -> str:
    """What breaks the format's rules, or ""."""
    if format in ("plain", "auto"):
        return "" if text.strip() else "the response is empty"
    opens, closes = ("## Thinking", "## Final Response") if format == "o1" else ("<think>", "</think>")
    for mark in (opens, closes):
        count = text.count(mark)
        if count != 1:
            return f"{mark} stands {count} times instead of once"
    before, _, rest = text.partition(opens)
    reasoning, found, answer = rest.partition(closes)
    if before.strip():
        return f"there is text before {opens}"
    if not found:
        return f"{closes} stands before {opens}"
    if not reasoning.strip() or not answer.strip():
        return "the reasoning is empty" if not reasoning.strip() else "the answer is empty"
    return ""


# Words after which an answer follows. Bounded repeats only. English and Chinese each share what they begin with, so that
# at most letters of a text one look rules out all of them.
_CUE = Pattern(
    r"\b(?:(?:answer|diagnosis|conclusion)(?: (?:to|for|of|in) (?:this|the) \w{1,20}){0,2}"
    r"(?:\*\*)?[ ]?(?::|：|=|\b(?:is|would be|should be|must be|was)\b:?)(?:\*\*)?[ \n]{0,4}"
    r"|(?:most likely|likeliest) (?:\w{1,20} ){0,3}(?:is|would be)\b:?[ \n]{0,4}"
    r"|final(?: answer)?:[ \n]{0,4}"
    r"|(?:on balance|taken together|all things considered|everything considered|to sum up|in summary|"
    r"in conclusion|putting (?:it all|this|everything) together),? (?:this|it) (?:is|must be|has to be)\b[ ]{0,4}"
    r"|(?:answer|diagnosis|conclusion) (?:that )?(?:I|we) (?:settle on|favou?r|choose|commit to|arrive at|reach|make|give)"
    r"(?: is\b|:)[ ]{0,4}"
    r"|I (?:would |also ){0,2}(?:choose|pick|select|answer|go with)\b:?[ ]{0,4}"
    r"|(?:I|we)(?: \w+ly| would| can| must| have to| therefore)? conclude(?: that)?"
    r"(?: (?:the|this) (?:\w+ )?(?:patient|man|woman|child|boy|girl|infant|baby|newborn) (?:has|is having|had)|"
    r" (?:it|this) is| (?:he|she) has)?[ :]{1,4})"
    r"|(?=[【答诊结最故所因综应但而本此该，,。；])(?:"
    r"【(?:正确)?答案】[：:]?[ ]{0,4}"
    r"|(?:答案|诊断|结论)(?:应该是|应该为|应当是|应是|应为|考虑为|是|为|[：:])[：:]?[ \n]{0,4}"
    r"|最可能(?:的[^\s，。；、]{1,12}?|患?的?是)?(?:是|为|[：:])[ ]{0,4}"
    r"|(?<=[，,。；：:])(?:故|所以|因此|综上|[本此该]题)?应(?:诊断)?[为是](?!了)[ ]{0,4}"
    r"|(?:但|而|故|因此)(?:目前|现|应|仍)?(?:首先|优先|最)?考虑(?:为|是|诊断为)?[ ]{0,4}"
    r"|(?:故|应|本题|因此|所以|[，,。；] ?)选(?![用取做]|择性)(?:择)?(?:项)?[：:]?[ ]{0,4})",
    re.IGNORECASE,
)
# … unless one of these stands just before them: "the wrong answer is", "an alternative diagnosis is".
_UNCUED = Pattern(
    r"(?:\b(?:differential|wrong|incorrect|false|worst|alternative|other|another|unlikely|second|third|next|initial|"
    r"previous|former|tempting|trap|reference|(?:less|least)(?: likely)?)(?: (?:most )?likely| possible)? |"
    r"[不未非误]|不应|不宜|不足以|不能|无法|难以|没法|不可|尚未|暂不|不正确的?|错误的?|鉴别|其[他它]|否定|排除|次要|"
    r"既往|第二|不太?可能的|其次|外院|曾经?|原)$",
    re.IGNORECASE,
)
# … or one of these in the same clause: another person's diagnosis, or one of another time.
_ASIDE = Pattern(
    r"\b(?:mother|father|parent|brother|sister|sibling|twin|son|daughter|uncle|aunt|cousin|wife|husband|relative|student|"
    r"intern|colleague|referring doctor)(?:'s|s'|s)?\b|\bfamily\b(?! (?:doctor|physician|medicine))|"
    r"\b(?:years?|months?|weeks?) (?:ago|before|earlier)\b|\blast (?:year|month|week|time|visit)\b|\bold\b(?= \w*$)|"
    r"\b(?:past|prior|earlier|outside|referral|mistaken|discarded|rejected|tempting|usual|opposite)\b(?=(?: \w+)?[ *]*$)|"
    r"\bon referral\b|母亲|父亲|家族|外院|过去|以前|去年",
    re.IGNORECASE,
)
_SUBORDINATES = re.compile(r"\b(?:because|since|whereas|but|yet|so) ", re.IGNORECASE)  # each begins a clause of its own
_CONDITIONAL = re.compile(r"\b(?:if|were|had|unless|should|whether)\b|如果|若|假如", re.IGNORECASE)
_AFTER = Pattern(
    r" (?:is|remains|would be) (?:the|my) (?:most likely |final |correct |best |right )?(?:diagnosis|answer)\b"
    r"(?!,? ?(?:and|but|or|too|also|if|unless|only|when|until|last|of h(?:is|er))\b)",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:\bnot|\bnever|n't)(?: the answer)?:?[\s*$(]*$|(?:不是|并非)[：:]?[\s*$(]*$", re.IGNORECASE)
_DENIES = re.compile(
    r"[ *$)]*(?:(?:is|was|would be|seems) (?:not\b|wrong|incorrect|false|ruled out|excluded)|isn't|不对|是错|错误|不是答案)",
    re.IGNORECASE,
)
_REVISES = (
    r"(?:change|revise|amend|switch|correct|alter)(?: my(?: (?:final|first|initial|earlier))? "
    r"(?:answer|diagnosis|choice))? to"
)
_I_WILL = r"I(?:'d| would| will|'ll| must| have to| need to| should|'m going to)?"
_RETRACT = Pattern(
    r"\b(?:no,? wait|wait,? no|correction|scratch that|let me correct|I was wrong|actually,? no|"
    rf"on second thou?ghts?(?:,? (?:no|actually)\b)?(?:,? {_I_WILL} {_REVISES})?|"
    rf"(?:{_I_WILL}|let me) {_REVISES}|I take (?:that|it) back|I (?:retract|withdraw) (?:that|this|it)|sorry,? I mean|"
    r"strike that|"
    r"(?:so )?I (?:must |have to |should )?correct myself|I stand corrected|I misspoke)\b|"
    r"\b(?:so )?that(?: is|'s)? wrong[:;,.]\b|\bbut (?:that|this|it) (?:was|is|would be|turned out to be) (?:wrong|incorrect|"
    r"mistaken|a mistake|not right)[:;,.]|"
    r"更正(?:一下)?[：:，,]?|(?:有误|以[^，。\n]{1,6}为准)[：:，,]|修正一下[：:，,]?|我错了|说错了|不对[，,。]|等等[，,]|"
    r"(?:我|现在?|故|应)(?:要|想)?(?:改为|改选|改答|改成|更改为|修改为)",
    re.IGNORECASE,
)
_COMMA = re.compile(r"\s{0,4}(?:[,，]|[—–-](?=\s))")  # "No wait, B"
# A sentence ends at a Chinese stop, a line break, or a full stop that is no decimal point and closes no abbreviation.
_STOP = re.compile(
    r"[。！？；!?\n]|(?<![ .(:：是为选项案】][A-Za-z])(?<!\bvs)(?<!\bspp)(?<!\b[Cc]f)(?<!\b[Ee]g)\.(?=[\s\"'”’)*]|$)"
    r"(?!(?:(?<=\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\.)|(?<=\bSept\.)) ?\d)|;(?= )"
)
_MAY_STOP = re.compile(r"[。！？；!?\n.;]")
_BOXED, _TAG, _UNTAG = "\\boxed{", Pattern("<answer>", re.IGNORECASE), Pattern("</answer>", re.IGNORECASE)
# Answers that hold no answer: signs alone, openers and empty forms that fool learned judges (the "master keys").
_NO_WORD = re.compile(r"[^\w↑↓+]*_*")
_EMPTY = Opening(
    r"(?:\\boxed\{ ?\}|<answer> ?</answer>|solution|thought process|answer|the answer is|final answer|diagnosis|"
    r"let'?s (?:think|solve|work)[^.\n]{0,60}|"
    r"(?:reasoning|analysis|explanation|rationale|step 1|final|sure|okay|(?:sure, )?here(?: is|'s) (?:the|"
    r"my) (?:answer|solution)|"
    r"the (?:correct |final )?answer is as follows)|"
    r"i(?: do not| don'?t) know|none of your business|解|答|答案|答案是|答案为|"
    r"(?:综上所?述?，?)?(?:最终)?(?:答案|诊断|解答|解析|分析|回答)(?:如下)?|解析|"
    r"这个?(?:问题|题目?)需要?[^。\n]{0,30}(?:判断|分析)|"
    r"(?:好的?，)?(?:我|让我|我们)(?:先|来)[^。\n]{0,6}分析[^。\n]{0,8}|"
    r"首先[^。\n]{0,20}(?:分析|审题)|综合[^。，\n]{0,12}，?可?以?得出[^。，\n]{0,4}(?:结论|答案)|"
    r"(?:思考|推理|解题|分析|解答)(?:过程|思路|步骤)?(?:如下)?|(?:参考|正确)答案(?:如下)?|见[上下]文|略|"
    r"(?:根据|结合|由|综合)[^。，\n]{0,12}[，,]?(?:可以?|能够?)?(?:得出|知道?|判断|推断)[^。\n]{0,8}(?:结论|答案|"
    r"如下|判断|诊断)(?:如下)?|"
    r"让我们[^。\n]{0,20}(?:思考|"
    rf"分析)|我不知道|不知道|不确定){_NO_WORD.pattern}|{OPENERS.pattern}",
    re.IGNORECASE,
)


_CLOSED = re.compile(r"^\s{0,4}(?:</answer>|\})[\s*$)]*", re.IGNORECASE)
_PIECES = re.compile(r"[\n。；;]|(?<=[\w)}>*][\w)}>*])\.(?=\s|$)|(?<=^\w)\.(?=\s|$)")
_JOINS = re.compile(r"^[\s*_•·-]*(?:(?:or|and|also|then)\b|或者?|也|和)?\s*|[\s*_]+$", re.IGNORECASE)


def final_answer(text: str, format: Format = "auto") -> Extracted | None:
    """The answer that a response commits to, or None when it gives none (which is the policy's fault).

    In order of preference: the last `\\boxed{}`, the last `<answer>`, the last statement such as "the answer is …",
    the whole visible answer. "Correction" and its like take back what was stated before them.
    """
    check_format(format)
    return answer_within(text, visible(text, format))


def strict_fault(parts: Sections, answer: Extracted | None, format: Format) -> str:
    """What a strict preset misses in a response, or "": the format to the letter, or an answer in its box or tag."""
    if format in ("o1-strict", "think-strict"):
        return parts.fault
    if answer and format in _ONLY and answer.how != _ONLY[format]:
        return "there is no \\boxed{} answer" if format == "boxed" else "there is no <answer>"
    return ""


def answer_within(text: str, span: Span) -> Extracted | None:
    """As `final_answer`, of a visible answer that stands at `span`."""
    start, end = span
    retracted = deque(_RETRACT.finditer(text, start, end), 1)
    whole = _clean(text, (start, end))
    if whole is None:
        return None
    if retracted:
        comma = _COMMA.match(text, retracted[0].end(), end)
        start = comma.end() if comma else retracted[0].end()
    kinds: dict[How, list[Span]] = {
        "boxed": _boxed(text, start, end) if _BOXED in text else [],
        "tag": _tagged(text, start, end) if "<" in text else [],
        "stated": _stated(text, start, end),
    }
    found = [(how, kept) for how, spans in kinds.items() for one in spans if (kept := _clean(text, one))]
    if found:
        how = found[0][0]
        last = [span for kind, span in found if kind == how][-1]
        # Those of another kind count too, unless they hold one of this kind ("the answer is \boxed{…}") or belong to a
        # long way to it.
        earlier = tuple(
            text[slice(*one)]
            for kind, one in found
            if one != last
            and (
                kind == how
                or (
                    all(one[1] <= s or e <= one[0] for s, e in kinds[how])
                    and (kind != "stated" or one > last or end - start <= SHORT)
                )
            )
        )
        pieces = _PIECES.split(text[last[1] - 1 : min(end, last[1] + SHORT)])[:9]
        pieces[0] = _CLOSED.sub("", pieces[0][1:]) if how in ("boxed", "tag") else ""  # "\\boxed{X} but rather Y"
        after = tuple(piece for one in pieces if 0 < len(piece := _JOINS.sub("", one).strip()) <= 60)
        inside = _within_box(text, last) if how in ("boxed", "tag") else None
        if inside:  # "\\boxed{The answer is X. Wait, that is wrong: it is Y.}"
            return inside._replace(how=how, earlier=earlier + inside.earlier, after=(inside.after + after)[:9])
        how = how if last[1] - last[0] <= 4 * STATEMENT else "long"
        return Extracted(text[slice(*last)], last, how, earlier, after)
    rest = (_clean(text, (start, end)) or whole) if retracted else whole
    return Extracted(text[slice(*rest)], rest, "short" if rest[1] - rest[0] <= SHORT else "long")


def _within_box(text: str, span: Span) -> Extracted | None:
    """What a box or tag commits to, where what it holds is a text with a statement of its own."""
    held = text[slice(*span)]
    if not 16 < len(held) <= SHORT or _BOXED in held or "<" in held:
        return None
    found = answer_within(text, span)
    return found if found and (found.how == "stated" or _RETRACT.search(held)) else None


def _boxed(text: str, start: int, end: int) -> list[Span]:
    """Insides of `\\boxed{…}` in order; of the last few only, each bounded, so nesting cannot cost."""
    spans: list[Span] = []
    at = end
    for _ in range(STATEMENTS):
        at = text.rfind(_BOXED, start, at)
        if at < 0:
            break
        inside, depth = at + len(_BOXED), 1
        for i in range(inside, min(end, inside + 4 * STATEMENT)):
            depth += (text[i] == "{") - (text[i] == "}")
            if depth == 0:
                if not _denied(text, at, i + 1):
                    spans.append((inside, i))
                break
    return spans[::-1]


def _tagged(text: str, start: int, end: int) -> list[Span]:
    """Insides of `<answer>…</answer>` in order."""
    spans: list[Span] = []
    ends = [m.start() for m in _UNTAG.finditer(text, start, end)]
    begins = [m.end() for m in _TAG.finditer(text, start, end)]
    j = 0
    for i, begin in enumerate(begins):
        while j < len(ends) and ends[j] < begin:
            j += 1
        limit = begins[i + 1] if i + 1 < len(begins) else end
        if j < len(ends) and ends[j] <= limit and not _denied(text, begin - 8, ends[j] + 9):  # outside the tags
            spans.append((begin, ends[j]))
    return spans[-STATEMENTS:]


def _denied(text: str, start: int, end: int) -> bool:
    """Whether a marked answer is denied by what stands just before or after it."""
    return bool(_DENIED.search(text, max(0, start - 24), start) or _DENIES.match(text, end))


def _stated(text: str, start: int, end: int) -> list[Span]:
    """What follows words such as "the answer is", to its sentence's end, and what precedes "is the diagnosis"."""
    spans: list[Span] = []
    for cue in deque(_CUE.finditer(text, start, end), STATEMENTS):
        before = cue.start()
        if _MISLED.search(cue[0]):
            continue
        own = text[before] in "，,。；"  # 都可排除，选C: a clause of its own
        if before > start and not own and _UNCUED.search(text, max(start, before - 30), before):
            continue
        if before > start and _is_aside(text, start, before):
            continue
        limit = min(end, cue.end() + STATEMENT)
        stops = (m.start() for m in _MAY_STOP.finditer(text, cue.end(), limit) if _STOP.match(text, m.start(), limit))
        spans.append((cue.end(), next(stops, limit)))
    for cue in deque(_AFTER.finditer(text, start, end), STATEMENTS):
        begin = max(start, cue.start() - STATEMENT)
        cut = max((m.end() for m in _STOP.finditer(text, begin, cue.start())), default=begin)
        comma = text.rfind(", ", cut, cue.start())
        if _CONDITIONAL.search(text, cut, max(cut, comma)):
            continue  # "were it so, X would be the diagnosis"
        joins = [m.end() for m in _SUBORDINATES.finditer(text, max(cut, comma + 1), cue.start())]
        spans.append((joins[-1] if joins else comma + 2 if comma >= 0 else cut, cue.start()))
    return sorted(spans)[-STATEMENTS:]


_MISLED = re.compile(r"\b(?:wrong|incorrect|distractor|mimic|alternative|differential|trap|tempting)\b", re.IGNORECASE)


def _is_aside(text: str, start: int, cue: int) -> bool:
    """Whether what stands before a cue in its clause speaks of another person or another time."""
    return bool(_ASIDE.search(_CLAUSE_END.split(text[max(start, cue - 60) : cue])[-1]))


_CLAUSE_END = re.compile(r"[,.;:!?\n，。；：！？]")


def _clean(text: str, span: Span) -> Span | None:
    """`span` without white space, mark-up and closing punctuation; None when nothing is left of it."""
    start, end = _trim(text, *span)
    if text.startswith("\\text{", start, end) and text.endswith("}", start, end):
        start, end = start + 6, end - 1
    start, end = _trim(text, start, end, " \t\n*_\"“”'‘`：:$", " \t\n*_\"“”'’`。.,，；;：:!！$")
    said = text[start : min(end, start + STATEMENT)]
    wordless = not said[:1].isalnum() and _NO_WORD.fullmatch(said)
    return None if wordless or _EMPTY.fullmatch(said) else (start, end)


def _trim(text: str, start: int, end: int, left: str | None = None, right: str | None = None) -> Span:
    """A span without the characters of `left` at its beginning and those of `right` at its end; white space by default."""
    kept = text[start:end].lstrip(left)
    start = end - len(kept)
    return start, start + len(kept.rstrip(right))


_WORD = re.compile(r"[A-Za-z0-9]{1,20}|[^\sA-Za-z0-9]")


def degenerate(text: str, period: int = 60, repeats: int = 8) -> bool:
    """Whether the text is stuck in a loop: its second half, at least, repeats one run of up to `period` words."""
    text = text[-20_000:].rstrip()
    if text.count(text[-1:]) < repeats:
        return False  # the last word of a loop stands in each of its runs
    words = _WORD.findall(text)
    for size in range(1, min(period, len(words) // repeats) + 1):
        run = 0
        for i in range(len(words) - 1, size - 1, -1):
            if words[i] != words[i - size]:
                break
            run += 1
        if run >= size * (repeats - 1) and run * 2 >= len(words):
            return True
    return False
