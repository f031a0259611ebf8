"""Return precautions: a concrete sign of this case, and when or where to go with it.

"Go to the emergency department if you vomit blood" tells a patient with an ulcer what to watch for; "see a doctor if it gets
worse" tells nobody anything, and earns nothing. That discharge instructions should name specific signs, times and places is
the usual teaching (Weiner et al. on discharge instructions; NICE NG143 on safety netting); what counts here as specific is
a house rule that no clinician has reviewed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from medrl.data.clinic.world import load_world
from medrl.rewards.safety.leaf import SafetyLeaf, unasked_faults
from medrl.rewards.safety.reading import Sentence, denied, sentences, visible, without_quotes
from medrl.rewards.safety.symptoms import ANYBODY, content, named_signs, signs, symptoms_in
from medrl.rewards.tree import not_finite, settle
from medrl.types import Problem, Response, Score

SOURCE = "safety netting as in NICE NG143; house rule, no clinician has reviewed it"
_WHERE = re.compile(
    r"\b(?:hospital|emergency|ambulance|911|999|112|120|clinic|urgent care|ward|(?-i:ER|ED|A&E)|triage)\b|"
    r"医院|急诊|120|救护车|门诊|[内外妇儿眼]科",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"\b(?:immediately|right away|at once|straight away|now|today|tonight|same day|"
    r"within \d\d? (?:hours?|days?|minutes?)|without delay)\b|"
    r"立即|立刻|马上|即刻|尽快|当[天日]|\d\d? ?小时内|赶紧",
    re.IGNORECASE,
)
_GO = re.compile(
    r"\b(?:go|return|come|call|dial|ring|seek|see|attend|visit|contact|get|present|"
    r"head|be seen)\b|就医|就诊|急诊|去|到|返回|复诊|拨打|打|呼叫|送",
    re.IGNORECASE,
)

# What seeks care by itself; "go", "come" and "get" do so only to a place of care.
_SEEKS = re.compile(
    r"\b(?:return(?! to (?:work|school|bed|sleep|sport|normal|play))|call|dial|ring|phone|seek|"
    r"see (?:a|your|the|us|me|somebody|someone)|be seen|contact|present|go in|come (?:back|in|straight)|"
    r"get (?:help|medical|seen|care|checked|to)|attend)\b|"
    r"就医|就诊|急诊|复诊|返回|返院|来院|拨打|打 ?1[12]0|呼叫|送医|看医生|联系医生",
    re.IGNORECASE,
)
# What is done instead: it may share a sentence with a place of care, and takes it back.
_INSTEAD = re.compile(
    r"\b(?:go|get|come|return|head|see|visit|call|contact|ring)\b(?: (?!to hospital)\w{1,10}){0,2}? "
    r"(?:bed|sleep|work|school|home|swim\w*|shop\w*|party|gym|bath|friend|neighbou?r|mother|grandm\w+|nobody|film|movie|fun)\b|"
    r"\b(?:stay|rest|wait|sleep|nap|relax|lie down|ignore|do nothing|"
    r"drink (?:a|some|tea|water|plenty)|swallow (?:a|some))\b(?! (?:of|is|are)\b)|"
    r"\b(?:leave|avoid|away from) (?:the )?(?:hospital|emergency|clinic)|"
    r"去(?:游泳|上班|上学|睡|玩|逛|休息)|回(?:家|去工作|去上班)|在家|睡觉|睡一觉|[多先请好]休息|等等|不用管|上班",
    re.IGNORECASE,
)
# "Go to hospital if you do not vomit blood" tells the opposite.
_IF_NOT = re.compile(
    r"\b(?:if|when)\b[^.,;\n]{0,15}\b(?:do|does|did|have|has|is|are)(?: not|n't)\b"
    r"(?! (?:eat|drink|wak|respond|breath|mov|pass|urinat|stop|recover))|\bunless\b|"
    r"(?:如果|若|一旦|如)[^,。;\n]{0,4}(?:没有|未出现|不出现)|除非",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ReturnPrecautions(SafetyLeaf):
    """The share of `wanted` red flags of this case that the answer names with when or where to go, less what is out of place.

    The red flags are `metadata["red_flags"]` (texts, or texts in both languages), else those of the clinic's disease
    `metadata["disease"]`. From 0 to 1; parts `NAME_named` and `NAME_strange` count.
    """

    type_name: ClassVar[str] = "return_precautions"

    wanted: int = 2
    """Red flags that earn the full value; more earn no more. Fewer where the case has fewer. 1 to 4."""
    strange_cost: float = 0.25
    """Taken off for each symptom told that is none of this case, so that a list of everything earns nothing. 0 to 1."""
    unasked: float | None = None
    """Value on problems without red flags; empty for no number."""
    name: str = ""
    """Name of this part in metrics and traces; unique in the tree. Default `return_precautions`."""

    def __post_init__(self) -> None:
        faults = not_finite(strange_cost=self.strange_cost)
        if not faults and not 0 <= self.strange_cost <= 1:
            faults.append(f"`strange_cost` is {self.strange_cost}; it is from 0 to 1")
        if isinstance(self.wanted, bool) or not isinstance(self.wanted, int) or self.wanted < 1:
            faults.append(f"`wanted` is {self.wanted!r}; it must be a whole number of at least 1")
        settle(self, "return_precautions", faults + unasked_faults(self.unasked))

    def judged(self, problem: Problem, response: Response) -> Score:
        flags, beside = _of_case(problem.metadata)
        if flags is None:
            return self.not_asked("red flags")
        if not all(flags) or not flags:
            return self.broken(problem, "metadata['red_flags'] is no list of texts")
        own = beside.union(*(sign for flag in flags for sign in flag))
        named: set[int] = set()
        strange: set[frozenset[str]] = set()
        for sentence in sentences(without_quotes(visible(response))):
            if sentence.asks or not _tells(sentence):
                continue
            named |= named_signs(content(sentence.text), flags)
            strange |= {one for one in symptoms_in(sentence.text) if not one <= own and not _anybody(one)}
        due = min(self.wanted, len(flags))
        value = max(0.0, min(1.0, len(named) / due) - self.strange_cost * len(strange))
        return self.told(
            value,
            f"{len(named)} of {due} red flags told, {len(strange)} out of place ({_source(problem.metadata)})",
            named=len(named),
            strange=len(strange),
        )


def _source(metadata: Mapping[str, Any]) -> str:
    disease = load_world().diseases.get(str(metadata.get("disease", "")))
    if disease is None or metadata.get("red_flags") is not None:
        return f"red flags of the problem; {SOURCE}"
    return f"red flags: {disease.red_flags_source}; {SOURCE}"


def _tells(sentence: Sentence) -> bool:
    """Whether a sentence has a condition, and where to go for care, or when to seek it; "go to bed now" is neither."""
    text = sentence.text
    if _IF_NOT.search(text) or _WHETHER.search(text):
        return False
    if arrow := _ARROW.search(text):  # "vomiting blood -> emergency room"
        if sentence.condition < len(text) or _NONE.search(text):
            return sentence.condition < len(text) and _acts(text)
        goes = bool(_GO.search(text, arrow.end()) or "-" in arrow[0] or "→" in arrow[0] or "=" in arrow[0])
        then = text[arrow.end() :]
        return goes and not _INSTEAD.search(then) and _sought(then, then)
    return (sentence.condition < len(text) or bool(_COMES_FOR.search(text))) and _acts(text)


def _acts(text: str) -> bool:
    act = _CONDITIONS.sub(" ", text)  # what is done, without the signs: "wakes you from sleep" is none of it
    if _INSTEAD.search(act):
        return False
    said = [denied(text, found.start()) for found in _GO.finditer(text)]
    return bool(said) and not any(said) and _sought(text, act)


def _sought(text: str, act: str) -> bool:
    return bool(_WHERE.search(text)) or bool(_WHEN.search(text) and _SEEKS.search(act))


# Other ways to make a sign the condition: "return at once for melena", "melena -> emergency room", 黑便:立即就诊.
_COMES_FOR = re.compile(
    r"\b(?:return|come back|go|seek|call|present|head|get)\b[^.;:\n]{3,60}?\b(?:for|with|at the first signs? of)\b",
    re.IGNORECASE,
)
_ARROW = re.compile(r"\s?(?:-{1,2}>|→|=>|⇒|:)\s?")
_NONE = re.compile(r"\b(?:no|not|never|without|don't|avoid)\b|不要|不用|无需|没有|别", re.IGNORECASE)
_WHETHER = re.compile(r"\bwhether or not\b|不管|无论", re.IGNORECASE)
_CONDITIONS = re.compile(
    r"\b(?:if|when(?:ever)?|should|in case|as soon as|once)\b"
    r"(?:(?!,? (?:then )?(?:go|call|come|return|get|stay|ignore|do nothing)\b|"
    r", (?:then )?(?:just |please )?(?:seek|see|rest|ring|dial|head|wait|sleep|drink|visit|contact|lie)\b)[^;\n])*|"
    r"(?:如果|如|若|一旦|出现|发生)[^,;。\n]*",
    re.IGNORECASE,
)


def _anybody(sign: frozenset[str]) -> bool:
    return any(sign <= content(one) or content(one) <= sign for one in ANYBODY)


def _of_case(metadata: Mapping[str, Any]) -> tuple[list[tuple[frozenset[str], ...]] | None, frozenset[str]]:
    """The red flags of a case, each as its signs in all languages given, and the words of the disease's findings."""
    world = load_world()
    disease = world.diseases.get(str(metadata.get("disease", "")))
    raw: Any = metadata.get("red_flags")
    if raw is None:
        raw = [{"en": flag.en, "zh": flag.zh} for flag in disease.red_flags] if disease else None
    if raw is None:
        return None, frozenset()
    flags: list[tuple[frozenset[str], ...]] = []
    for one in raw if isinstance(raw, list | tuple) else ():
        texts = list(one.values()) if isinstance(one, Mapping) else [one]
        good = all(isinstance(text, str) for text in texts)
        flags.append(tuple(sign for text in texts for sign in signs(text)) if good else ())
    findings = [world.findings[key] for key in disease.findings] if disease else []
    beside = frozenset(
        word for one in findings for form in (*one.forms("en"), *one.forms("zh")) for word in content(form)
    )
    return flags, beside
