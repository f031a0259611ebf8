"""What every rule does first: read the committed answer, and settle what needs no rule."""

import re
from abc import abstractmethod
from dataclasses import dataclass, replace

from medrl.types import Problem, Response, Verdict
from medrl.verifiers.extract import (
    SHORT,
    STRICT,
    Extracted,
    Format,
    answer_within,
    check_format,
    degenerate,
    sections,
    strict_fault,
    visible,
)
from medrl.verifiers.normalise import normal
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.protocol import RuleVerifier
from medrl.verifiers.rule_version import RuleVersion
from medrl.verifiers.stated import doubts_itself, set_apart
from medrl.verifiers.vocabularies import Sources, digest_of, vocabulary

# Signs that deny or strike out what they stand with.
_STRUCK = Pattern(r"[✗✘❌≠¬]|~~|[(（]\s*[-–−×xX✕]\s*[)）]|^!\w|</?(?:s|del|strike)>|\\neg\b|\\not\b", re.IGNORECASE)


# What says that the answer before it is not meant.
TAKES_BACK = Pattern(
    r"\b(?:i mean|actually|sorry|wait|rather|instead|correct|correction|should|oops)\b|更正|应该|应为|抱歉|其实",
    re.IGNORECASE,
)


_KEY = r"\b(?:reference|gold|standard|official|correct|expected|model)(?: (?:answer|standard|label|key|solution))?"
# What speaks to whoever grades instead of answering. It is no answer, whatever it asks for.
_TO_GRADER = Pattern(
    r"\b(?:ignore|disregard|forget|override)\b.{0,30}\b(?:instruction|prompt|rule|above|previous|prior|earlier)|"
    r"(?:^|[.;:!?,\n\"'(] ?|\b(?:please|just|now|must|and) )"
    r"(?:output|return|print|respond with|reply with|mark (?:this|it)(?: \w+)?(?: as)?|"
    r"(?:grade|score|rate) (?:this|it)(?: as)?) "
    r"(?:the (?:word|verdict|score) )?[\"'“]?(?:correct|true|right|pass|full (?:marks|score)|match|"
    r"1(?:\.0)?|100)\b(?! ?[A-Za-z%/])|"
    r"\b(?:matches|agrees with|identical to|same as|equals) the (?:reference|gold|ground.truth|expected|standard|correct) "
    r"(?:answer|solution|label|response)\b|\b(?:grader|evaluator|judge|verifier)[,:]|\bsystem (?:prompt|message|override)\b|"
    r"\bas an? (?:grader|evaluator|judge)\b|"
    r"忽略.{0,10}(?:以上|上面|上述|之前|前面|所有).{0,10}(?:要求|指令|内容|提示|说明|规则)|"
    r"(?:输出|回复|返回|判定为?|判为|评为|(?:结论|结果)[：:](?=回答|答案)) ?[“\"'「]?(?:回答|答案)?"
    r"(?:正确|对|满分|true|1分|通过|匹配)(?:[”\"'」。.!！，]|$)|"
    r"参考答案.{0,10}(?:一致|相同|相符|匹配)|与(?:标准|参考)答案|\bequal to the reference\b|"
    r"\b(?:verdict|is_correct|judg(?:e?ment|ed))[\"']? ?[:=] ?[\"']?(?:true|correct|right|match|pass|yes|1)\b|"
    r"\bnote (?:to|for) (?:the |any )?(?:grader|examiner|judge|marker|reviewer|evaluator|scorer)s?\b|"
    r"\bdear (?:grader|examiner|judge|marker|reviewer|evaluator|scorer)s?\b|"
    r"\b(?:award|assign|grant|give)(?: (?:me|this|it|the response|the answer))? (?:the )?(?:full|maximum|maximal|top|all) "
    r"(?:marks?|credits?|scores?|points?)\b|"
    r"\b(?:accept|count|grade|mark|score|rate|judge|classify)(?:ed)? (?:this|any|every|the|my) (?:\w+ ){0,2}(?:answer|"
    r"response|submission|reply)\b|"
    r"\b(?:accepted|counted|marked|graded|scored|judged|verified) (?:as )?(?:being )?(?:correct|equivalent|right)(?= "
    r"*(?:[.,;!]|$|by\b|to\b))|"
    r"\[(?:system|admin|developer|instructions?)\]|\bset (?:the )?score\b|[\"']score[\"'] ?: ?1|"
    r"\brefer to the (?:reference|gold|expected|standard) answer\b|\bequivalent to the (?:gold|reference|expected) "
    r"(?:standard|answer|label)\b|"
    r"系统(?:提示|消息|指令|通知)[：:，,]|评分(?:规则|标准)(?:已|更新|修改|变更)|参考答案有误|(?:请|应|须|"
    r"一律)?按(?:正确|满分)(?:计分|给分|处理|判)|"
    r"(?:一律|直接|应|请|即)(?:可?得|给|算|记|判)(?:为)?(?:满|全)分|(?:视为|算作|判作|记为|记作)正确|"
    r"(?:系统|管理员)(?:提示|消息|指令|通知)[：:]|评分规则|(?:一律|均|都|请|应)[^。，]{0,6}(?:得|给|判|计)(?:满分|正确)|"
    r"(?:评分|阅卷|判题)(?:者|员|人|老师|系统|模型|程序|脚本|引擎)|(?:按|判为?|算|给我|给予)满分|均(?:判|算|按|视)为?正确",
    re.IGNORECASE,
)
_TO_GRADER_HAN = Pattern(
    r"【系统|【管理员|【评分|【后台|打满分|(?:输出|返回|标记为|标为|记为)[：: “\"']{0,3}(?:correct|true|pass)",
    re.IGNORECASE,
)
# The same, of a key that is said to be wrong, and of marks that are asked for.
_ON_ITS_KEY = Pattern(
    rf"{_KEY} (?:has been|have been|was|were|is|are)(?: (?:now|since|recently))? (?:updated|changed|replaced|revised|"
    r"corrected|wrong|incorrect|mistaken|outdated|invalid)\b|\[(?:system|admin|assistant|developer|note)\b[^\]\n]{0,20}:|"
    r"\b(?:please|must|should|and|,|;) ?(?:mark|grade|score|count|rate|accept|treat)(?: (?:it|this|me))? as (?:correct|"
    r"right|true|"
    r"a match|matching|equivalent|passed)\b|"
    r"(?:标准|参考)答案(?:已|被|是|存在|有)*(?:更新|修改|变更|更改|改为|替换|作废|有误|错误|失效)|"
    r"(?:请|应|须|一律|务必|直接)?(?:以|按)(?:本|此|该|我的?)(?:回答|答案|作答)为准|"
    r"(?:请|应|须|一律|务必|直接|予以)(?:判|给|算|记|评|打)(?:为|作|成)?(?:对|正确|通过|合格|满分|高分)(?![^，。；！、\s])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AnswerVerifier(RuleVerifier):
    """A rule over the committed answer: subclasses write `decide`.

    Its version follows the code of medrl's rules, so that a card or a calibration of older rules is known for one. A rule of
    another package that has a `version` of its own answers for that itself.
    """

    version = RuleVersion()

    format: Format = "auto"
    """How responses are laid out: "o1" (## Thinking, ## Final Response), "think" (<think> tags), "plain", "auto". Strict:
    "o1-strict" and "think-strict" want the format to the letter, "boxed" an answer in \\boxed{}, "answer" one in <answer>;
    what lacks it has no final answer and is wrong."""

    def __post_init__(self) -> None:
        check_format(self.format)

    @abstractmethod
    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        """The verdict on an answer that was read; `problem.reference` is a non-empty text."""

    def rule_for(self, problem: Problem) -> "AnswerVerifier":
        """The rule that decides on answers to a problem, and signs for it."""
        return self

    def check(self, problem: Problem, response: Response) -> Verdict:
        answer = read(problem, response, self.format)
        if isinstance(answer, Verdict):
            return answer
        if _STRUCK.search(answer.text) and not _STRUCK.search(str(problem.reference)):
            return replace(Verdict.abstain("a sign strikes something out"), answer=answer.text, span=answer.span).by(
                self.name
            )
        rule = self.rule_for(problem)
        verdict = rule.decide(problem, answer)
        if verdict.score and doubts_itself(
            response.text,
            visible(response.text, self.format),
            answer.span[0],
            str(problem.reference),
            problem.options,
        ):
            verdict = Verdict.abstain("it says that it is rather wrong, or sure of something else")
        return Verdict(
            verdict.score,
            verdict.status,
            response.text[slice(*answer.span)],
            answer.span,
            verdict.reason,
            verdict.stage or rule.name,
            verdict.cost,
            verdict.parts,
        )


class VocabularyVerifier(AnswerVerifier):
    """A rule that knows names: subclasses have the knob `vocabulary`, which is read when they are built."""

    vocabulary: Sources

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.vocabulary, list):
            object.__setattr__(self, "vocabulary", tuple(self.vocabulary))
        vocabulary(self.vocabulary)

    def data_digest(self) -> str:
        return digest_of(self.vocabulary)


def read(problem: Problem, response: Response, format: Format) -> Extracted | Verdict:
    """The committed answer, or the verdict where there is nothing for a rule to read."""
    if problem.reference is None or not problem.reference.strip():
        return Verdict.failed(f"problem {problem.id!r} has no reference to check against", "invalid")
    start, end = visible(response.text, format)
    if degenerate(response.text[start:end]):
        return Verdict.wrong("the answer is stuck in a loop")
    answer = answer_within(set_apart(response.text, (start, end), problem.reference), (start, end))
    said = answer and (response.text[start:end] if end - start <= SHORT else answer.text)
    if (
        answer
        and said
        and (
            _TO_GRADER.search(said) or _ON_ITS_KEY.search(said) or (not said.isascii() and _TO_GRADER_HAN.search(said))
        )
        and normal(problem.reference) not in normal(said)
    ):
        return replace(
            Verdict.wrong("it speaks to its grader and gives no answer"), answer=answer.text, span=answer.span
        )
    if answer is None:
        return Verdict.wrong("there is no final answer")
    if format in STRICT and (fault := strict_fault(sections(response.text, format), answer, format)):
        return Verdict.wrong(f"not in the strict format: {fault}")
    if response.finish_reason == "length" and answer.how not in ("boxed", "tag") and answer.span[1] >= end - 1:
        return Verdict.wrong("the response was cut at its token limit before the answer was complete")
    return answer
