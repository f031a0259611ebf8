"""A choice among options: by letter, by option text, or both, which then must agree."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from medrl.types import Problem, Verdict, ask
from medrl.verifiers.exclusions import by_place_or_exclusion, chooses_none
from medrl.verifiers.extract import Extracted
from medrl.verifiers.normalise import normal, without_heaps
from medrl.verifiers.option_words import NOTHING, confirms, gives_reason, is_of_it, is_silent, undone
from medrl.verifiers.reading import VocabularyVerifier
from medrl.verifiers.scripts import is_latin
from medrl.verifiers.statements import affirmed, asks_wrong, contraindicated, told
from medrl.verifiers.text import Text
from medrl.verifiers.text_reading import asked_of
from medrl.verifiers.vocabularies import Sources
from medrl.verifiers.wording import REVERSED, before_differential

OPEN = "an open choice between several options"
NEITHER = "neither a letter nor an option's text"
MAY_TURN = "words beside the option may turn it"
NUMBER_AMONG_WORDS = "a number among other words"

_NEGATED = re.compile(
    r"\b(?:not|wrong|incorrect|except|eliminate[ds]?|rule[sd]? out|excluded?|neither|nor|unlikely|never|cannot|worst|"
    r"anything but|other than|distract\w+|traps?|lure|tempting|red herring|mimics?|doubt\w*|improbable|implausible|"
    r"misdiagnos\w+|mistak\w+|less likely|(?:second|worse) choice|history of)\b|\?\W*(?:no|nope)\b|干扰项|陷阱|误诊|"
    r"n't\b|不(?![，,])|错误|排除|待[排除鉴]|非|(?<![清切摘去])除|以外|之外",
    re.IGNORECASE,
)
# Behind an answer these alone take it back.
_STRUCK = re.compile(
    r"\W*(?:(?:but |that |this |it |which )?(?:is |was |'s )?"
    r"(?:not?|nope|not (?:really|true|right|correct|this|so)|wrong|false|"
    r"incorrect|untrue|excluded|ruled out|eliminated|rejected|denied|refuted|unlikely|a (?:trap|distractor))|"
    r"不对|错误?|不是|否|排除|已排除|不正确|干扰项)\W*",
    re.IGNORECASE,
)
_JOINS = re.compile(r"[\s,、;，；和及&+]|AND")
_LABELLED = re.compile(r"\(?([A-Z])\s?[.):、]")
_LABEL = re.compile("[A-Z]")
_MARKUP = re.compile(r"\*\*|<br ?/?>")
_CHOOSES = re.compile("(?<![不未])选[择为]? ?[A-Z]")
_CLOSED = re.compile(r"[.:)\]】、]$")
# Chinese marks among labels as ASCII's: a set with both takes re a millisecond to compile, for each set of labels.
_ASCII_MARKS = str.maketrans("【】、，；", "[],,;")
_COMMAS = " \n,，。：:"
_SET_OFF = re.compile(r"[.:)\]】项]$")
_AFTER_LABEL = frozenset("项选是对为正错不和或与及也都因由故均但更的吧啊呢呀了，。；：、！？（")
_WORD_FOLLOWS, _LOWER_FOLLOWS = re.compile(" [A-Za-z]"), re.compile(" [a-z]")
_JOINED_BY = re.compile(r"\b(?:or|and)\b")
_STATEMENTS = re.compile(r"[\n;；。!?！？]+|(?<=\w)[.](?= |$)")
_SPARE = re.compile(r"[a-z]{2,}|[\u3400-\u9fff]{2}")
_OPEN = re.compile(r"\b(?:or|versus|vs)\b|或|还是", re.IGNORECASE)
_FIGURE = re.compile(r"\W*\d")
_CHANGES = re.compile(
    r"[\d<>=%+-]|\b(?:than|least|most|below|above|over|under|minu|to|half|double|twice|within)\b|[多少倍半]"
)
# In a piece that names another option these words offer it; without them, and with a few words, it explains.
_OFFERS = re.compile(
    r"\b(?:or|also|too|as well|both|either|equally|maybe|perhaps|possibl[ey]|could|may|might|correct|right|true|"
    r"yes|answer|option|likely)\b|也|或|都|对|可能|可以|还|选|[→>=~|]",
    re.IGNORECASE,
)
_LIMITS = re.compile(r"[只仅]|\b(?:only|merely|just|whereas|while)\b", re.IGNORECASE)
_EXCEPT = re.compile(
    r"(?:all (?:of them |options )?(?:but|except)|"
    r"除了?)\s*(?P<labels>[A-Z、,，和 ]{1,20}?)(?:项)?\s*(?P<rest>以外都选|之外都选|外都选|以外全选|外全选|$)"
)
# All but these are wrong.
_ONLY = re.compile(
    r"(?:ALL (?:OF THEM |OPTIONS |CHOICES )?(?:BUT|EXCEPT)|EVERYTHING (?:BUT|EXCEPT)|除了?)\s*"
    r"\(?(?P<labels>[A-Z](?:[、,，和 ]{1,3}[A-Z]){0,4})\)?(?:项|以外|之外|外|,|，| )*\s*"
    r"(?:其余|其他|其它|的|选项|均|都|全|是|为|ARE|IS)*\s*(?:错误|错|不正确|不对|WRONG|INCORRECT|FALSE)的?[.。]?$"
)
_AFFIRMED = re.compile(
    r"(?:[Tt]he )?(?:[Oo]ption|[Cc]hoice|[Aa]nswer|选项)? ?\(?(?P<label>[A-Z])\)?(?: is|项?是?)"
    r"(?:(?: the)? ?(?:most )?(?:correct|right|best|true|appropriate)(?: (?:answer|choice|option|one))?|"
    r"正确的?(?:答案|选项)?)[.。]?"
)
_CALLED_RIGHT = re.compile(
    r"\(?[A-Z]\)?(?:选?项)?(?:(?:的说法)?[是为]?(?:对|正确|成立)的?(?:选项|答案|说法|治疗|处理|措施|做法)?|"
    r" (?:is|as) (?:correct|right|true))[.。]?",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"(?:NOT|IT IS NOT|IT'S NOT|THE ANSWER IS NOT|DEFINITELY NOT|不选择?|不是|不应选|答案不是|并非|非)\s*"
    r"(?:OPTION )?\(?(?P<labels>[A-Z])\)?(?:选?项)?[.。]?|"
    r"(?:只有)?(?P<before>[A-Z])(?:选?项)?(?:(?:可以?|应|被|可被)?(?:予以)?排除|(?:是)?(?:不是|不对|不正确|错误?)的?)[.。]?"
)
# A label that stands again after "not": "A/B/D but not D".
_DENIED_AGAIN = re.compile(
    r"(?:\b(?:not|except|without)|不选|不是|不含|不包括|并非)\s?(?:option )?\(?(?P<label>[A-Z])(?![A-Za-z0-9'-])",
    re.IGNORECASE,
)
_DOUBTED = re.compile(r"[?？×]\W{0,9}$")
_HAS = re.compile(r"(?:the |this |a )?patient(?: with \w+)? has (?=\w)", re.IGNORECASE)
_SMALL_LABEL = re.compile(r"(?<![A-Za-z])\(?(?P<label>[a-z])[.):、]\s*")
_SO = re.compile(r"(?<!not )\b(?:so|hence|thus|therefore)\b,?|故|所以|因此", re.IGNORECASE)
# "Not A but" the rest: 不是A，是; 并非A，也非C或D，而是; "It is not A, C or D."
_NOT_THOSE = re.compile(
    r"(?:(?:it is |it's )?not (?:[A-Z]|either)[^.;\n]{0,30}?(?:, but |[.;] )(?:it is )?|"
    r"(?:不是|并非)[^，。；\n]{1,20}(?:[，,]?(?:也|亦|更)?(?:非|不是)[^，。；\n]{1,20}){0,3}[，,。；]?(?:而是|应为|应是|"
    r"是|选))",
    re.IGNORECASE,
)
_BECAUSE = re.compile(r",? (?:because|since|as)\b|\. (?=[A-Z])|[。；;\n]|，因为", re.IGNORECASE)
_PIECES = re.compile(r"\n|(?<=[.。;；])(?<!\b[A-Z]\.)\s+")  # lines and sentences
_LEAD = re.compile(
    r"^(?:so |thus |therefore |hence |either |only )?"
    r"(?:(?:i |my |the )?(?:would )?(?:(?:single )?(?:most )?(?:correct|best|right|"
    r"appropriate|likely|final|probable) )?(?:answer|ans|choice|choose|pick|select|option|letter|one|it)s?"
    r"(?:'s| is| are| would be| must be| should be)?[:.]? ?)*"
    r"(?:故|因此|所以|本题|应该?|我|大概|可能|多半|估计|(?:只有|只能|仅)(?=选|[A-Z](?:[，,。]|$)))*(?:选择?|认为是|认为|"
    r"是|(?<=应)为|(?:正确|最佳|最终|最合适的?)?(?:答案|选项)(?:是|为|应?选)?)?[:：]?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Choice(VocabularyVerifier):
    """Decides a multiple-choice answer; the reference is a label ("B", "ACD") or an option's text."""

    name: ClassVar[str] = "choice"

    vocabulary: Sources = None
    """Names that are known to mean one concept, as in the `text` verifier: an answer in other words than its option's."""

    def decide(self, problem: Problem, answer: Extracted) -> Verdict:
        options = {label.strip().upper(): text for label, text in problem.options.items()}
        if not options:
            return Verdict.failed(f"problem {problem.id!r} has no options, which a choice needs", "invalid")
        wanted = wanted_labels(str(problem.reference), options)
        if wanted is None:
            return Verdict.failed(
                f"the reference {problem.reference!r:.60} is neither a label nor an option", "invalid"
            )
        if not answer.committed:
            return Verdict.abstain("a long answer without a statement that commits to an option")
        if asks_wrong(problem.question) and _CALLED_RIGHT.fullmatch(_tidy(answer.text)):
            return Verdict.abstain("what is called right may be no answer to what is wrong")
        if len(wanted) == 1 and not answer.earlier and chooses_none(_tidy(answer.text), options):
            return Verdict.wrong("it chooses none, or leaves it open")
        said = told(_tidy(answer.text), options, problem.question)
        if said and said.denied and len(wanted) == 1 and said.denied >= wanted:
            return Verdict.wrong(f"it denies {_join(wanted)}, the reference")
        chosen = said.chosen if said and said.chosen else chosen_labels(answer.text, options)
        if chosen == wanted and len(chosen) > 1 and _OPEN.search(answer.text):
            return Verdict.abstain("an open choice")
        if chosen == OPEN and len(wanted) == 1:
            return Verdict.wrong("an open choice between options")
        if chosen == NEITHER and not answer.earlier and (one := _by_words(answer.text, options)):
            chosen = one
        if chosen == NEITHER and not answer.earlier:
            return self._in_other_words(problem, answer, options, wanted)
        denied = _DENIED.fullmatch(_tidy(answer.text).upper())
        struck = (denied["labels"] or denied["before"]) if denied else ""
        if struck in wanted and not REVERSED.search(problem.question):
            return Verdict.wrong(f"it denies {struck}, the reference")
        if isinstance(chosen, str):
            return Verdict.wrong(chosen) if chosen.startswith("the letter") else Verdict.abstain(chosen)
        for earlier in answer.earlier:
            before = _chosen(_tidy(earlier), options)
            if isinstance(before, frozenset) and before != chosen:
                return Verdict.wrong(f"two answers, neither taken back: {_join(before)} and {_join(chosen)}")
        if chosen == wanted and any(_bare(piece, options) - chosen for piece in answer.after):
            return Verdict.abstain("another option follows the answer")
        if chosen == wanted and any(_STRUCK.fullmatch(piece) for piece in answer.after):
            return Verdict.abstain("what follows the answer takes it back")
        tidy = _tidy(answer.text)
        if chosen == wanted and (affirmed(tidy, options, problem.question) & chosen):
            return Verdict.abstain("it says of the reference what the question denies")
        if chosen == wanted and (contraindicated(tidy, options, problem.question) & chosen):
            return Verdict.abstain("it calls the reference contraindicated")
        if chosen == wanted and not (said and said.chosen) and not self._stands(problem, answer, options, chosen):
            return Verdict.abstain(MAY_TURN)
        if chosen == wanted:
            return Verdict.right(f"{_join(chosen)}, as the reference")
        if len(chosen) > 1 and len(wanted) == 1:
            return Verdict.wrong(f"several options ({_join(chosen)}) where one is asked")
        return Verdict.wrong(f"{_join(chosen)} where {_join(wanted)} is right")

    def _stands(self, problem: Problem, answer: Extracted, options: Mapping[str, str], chosen: frozenset[str]) -> bool:
        """Whether an answer says of the options that it names nothing that could turn them."""
        text, asked = _tidy(answer.text), asked_of(problem.question)
        own = [options[label] for label in sorted(chosen)]
        plain = before_differential(text)
        if _DOUBTED.search(text) and not any(map(_DOUBTED.search, own)):
            return False
        if _AFFIRMED.fullmatch(text) or _bare(text, options) == chosen or _by_words(text, options) == chosen:
            return True
        if any(one["label"] in chosen for one in _DENIED_AGAIN.finditer(text)):
            return False
        stem = problem.question[: problem.question.find(min(options.values(), key=problem.question.find))]

        def names(words: str) -> bool:
            one = replace(problem, messages=ask(stem or "?"), reference=own[0], options={})
            said = _without_lack(answer._replace(text=words), problem.question)
            return (
                len(own) == 1
                and not undone(words, own, asked)
                and Text("plain", self.vocabulary).decide(one, said).score == 1.0
            )

        opened = _LEAD.sub("", plain, count=1)
        letters, rest = _leading_letters(opened, options)
        head = _BECAUSE.split(opened)[0]
        if not letters and head != opened:  # "B because"
            letters, rest = _leading_letters(head, options)
            rest += opened[len(head) :]
        if letters:
            closed = _CLOSED.search(opened[: len(opened) - len(rest)].rstrip())
            return letters != chosen or confirms(f",{rest}" if closed else rest, letters, own, asked, names)
        opened = _HAS.sub("", opened)
        opened = _SMALL_LABEL.sub(lambda m: "" if m["label"].upper() in chosen else m[0], opened)
        concluded = _SO.split(opened)[-1]
        return (
            not _named(text, options) & chosen
            or (not is_of_it(opened, own) and (is_silent(opened, own, NOTHING) or names(opened)))
            or _bare(concluded, options) == chosen
            or gives_reason(opened, own)
        )

    def _in_other_words(
        self, problem: Problem, answer: Extracted, options: Mapping[str, str], wanted: frozenset[str]
    ) -> Verdict:
        """An answer that names no option's letter or text, by what the vocabulary knows of one option alone."""
        if self.vocabulary is None or len(wanted) != 1:
            return Verdict.abstain(NEITHER)
        rule = Text("plain", self.vocabulary)
        answer = _without_lack(answer, problem.question)
        stem = problem.question[: problem.question.find(min(options.values(), key=problem.question.find))]
        read = {
            label: rule.decide(replace(problem, messages=ask(stem or "?"), reference=option, options={}), answer)
            for label, option in options.items()
        }
        named = [label for label, verdict in read.items() if verdict.score == 1.0]
        if all(verdict.score == 0.0 and "known as something else" in verdict.reason for verdict in read.values()):
            return Verdict.wrong("it is none of the options, but another thing that is known")
        if len(named) != 1:
            return Verdict.abstain(NEITHER)
        reason = f"another name of option {named[0]}"
        return (
            Verdict.right(reason) if named[0] in wanted else Verdict.wrong(f"{reason}, where {_join(wanted)} is right")
        )


_NEUTRAL = frozenset(normal("type group rh blood virus cell is it the of in with unit positive").split()) - {"positive"}
_ORDERED = frozenset("to from than before after by of not no non without".split())


def _by_words(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The one option whose words an answer has in another order, with neutral ones alone: "type A influenza virus"."""
    if len(text) > 80:
        return frozenset()
    said = normal(text).split()
    words = set(said)
    bags = {label: set(normal(option).split()) for label, option in options.items()}
    found = [label for label, bag in bags.items() if len(bag) > 1 and bag <= words and words - bag <= _NEUTRAL]
    alike = len(found) == 1 and list(bags.values()).count(bags[found[0]]) == 1
    return (
        frozenset(found) if alike and len(words) == len(said) and bags[found[0]].isdisjoint(_ORDERED) else frozenset()
    )


_LACK = re.compile(r"\b(?:a )?(?:deficiency|deficient|lack)(?: of| in)?\b|缺乏症?|不足", re.IGNORECASE)


def _without_lack(answer: Extracted, question: str) -> Extracted:
    """An answer without its word of lack ("thiamine deficiency"), where the question says that word."""
    text = _LACK.sub(" ", answer.text).strip() if _LACK.search(question) else answer.text
    return answer._replace(text=text) if text else answer


def wanted_labels(reference: str, options: Mapping[str, str]) -> frozenset[str] | None:
    """The label or labels that a reference means, or None."""
    text = unicodedata.normalize("NFKC", without_heaps(reference)).strip().strip(".()[]").upper()
    if text in options:
        return frozenset({text})
    by_text = [label for label, option in options.items() if normal(option) == normal(reference)]
    if len(by_text) == 1:
        return frozenset(by_text)
    letters = _JOINS.sub("", text)
    if letters and all(letter in options for letter in letters) and len(set(letters)) == len(letters):
        return frozenset(letters)
    match = _LABELLED.match(text)
    return frozenset({match[1]}) if match and match[1] in options else None


def chosen_labels(text: str, options: Mapping[str, str]) -> frozenset[str] | str:
    """The labels that an answer commits to, or in words why none can be read.

    A reason that starts with "the letter" is the answer's own fault (letter and text in conflict).
    """
    whole = _tidy(text)
    text = before_differential(whole)
    if _CHOOSES.search(whole, len(text)):
        text = whole  # "C排除后选B"
    chosen = _chosen(text, options)
    if isinstance(chosen, frozenset) and (others := _beside(text, chosen, options)):
        return f"{_join(others)} is named beside {_join(chosen)}"
    return chosen


def _tidy(text: str) -> str:
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKC", without_heaps(text)) if unicodedata.category(c) != "Cf")
    return _MARKUP.sub(lambda m: "\n" if m[0][0] == "<" else "", text).strip()


def _chosen(text: str, options: Mapping[str, str]) -> frozenset[str] | str:
    meant = by_place_or_exclusion(text, options)
    if meant:
        return meant
    denied = _NOT_THOSE.match(text) if len(text) < 300 else None
    if denied and isinstance(other := _chosen(text[denied.end() :], options), frozenset):
        return other
    affirmed = _AFFIRMED.fullmatch(text[:60])
    if affirmed and affirmed["label"] in options:
        return frozenset(affirmed["label"])
    opened = _LEAD.sub("", text, count=1)
    letters, rest = _leading_letters(opened, options)
    if len(letters) == 1 and (_CLOSED.search(opened[: len(opened) - len(rest)]) or rest[:1] in _COMMAS):
        written = _PIECES.split(rest.strip(_COMMAS))[0]
        named = _whole(written, options)
        if named and letters.isdisjoint(named):
            return f"the letter {_join(letters)} and the text of {_join(named)} are in conflict"
    by_text = _whole(text, options)
    if len(by_text) == 1:
        return by_text
    excepted = _EXCEPT.search(text.upper())
    if excepted and excepted["rest"]:
        left_out = set(_LABEL.findall(excepted["labels"]))
        return frozenset(set(options) - left_out) if left_out <= set(options) else "labels that are not options"
    only = _ONLY.search(text.upper())
    if only and set(_LABEL.findall(only["labels"])) <= set(options):
        return frozenset(_LABEL.findall(only["labels"]))
    listed = _listed(text, options)
    if len(listed) > 1:
        return listed
    head = _BECAUSE.split(text)[0]
    bare = _without(head, options)
    if _NEGATED.search(bare):
        return "the answer speaks of what is not right"
    head = _LEAD.sub("", head, count=1)
    letters, rest = _leading_letters(head, options)
    named = _named(rest if letters else head, options)
    if letters:
        if len(letters) == 1 and named and named != letters and _LIMITS.search(_without(rest, options)):
            return "another option is spoken of behind the letter"
        if len(letters) == 1 and named and named != letters:
            return f"the letter {_join(letters)} and the text of {_join(named)} are in conflict"
        return letters
    if named:
        if any(_FIGURE.match(options[label]) and not _alone(head, options[label]) for label in named):
            return NUMBER_AMONG_WORDS
        return (OPEN if len(named) > 1 else "an open choice") if _OPEN.search(bare) else named
    return NEITHER


def _leading_letters(text: str, options: Mapping[str, str]) -> tuple[frozenset[str], str]:
    """The letters that an answer opens with ("B", "(B)", "B, D", "ACD", "A或B"), and what follows them."""
    labels = _single(options)
    if not labels:
        return frozenset(), text
    one, several = _letters(labels, len(text) <= 3)
    written = text.translate(_ASCII_MARKS)
    first = one.match(written)
    label = "".join(c.upper() for c in first[0] if c.upper() in options) if first else ""
    own = normal(options.get(label, ""))
    if first and own and f"{normal(text[first.end() :])} ".startswith(f"{own} "):
        return frozenset({label}), text[first.end() :]  # a label with its own text, which may hold letters too
    match = several.match(written)
    if not match:
        return frozenset(), text
    rest, written = text[match.end() :], match["letters"]
    if _TELLS_OF.match(rest) and _MARK.search(written):
        return frozenset(), text  # "AC，B和D为革兰阳性菌", or what is asked
    alone = len(written) == 1
    if alone and rest[:1] > "\u3400" and rest[:1] not in _AFTER_LABEL:
        return frozenset(), text  # B型流感, B超, D二聚体
    word = _WORD_FOLLOWS if written in "AI" and not _named(rest, options) else _LOWER_FOLLOWS
    if alone and word.match(rest) and not _SET_OFF.search(written):
        return frozenset(), text  # "A patient with …" is no label
    bare = _JOINED_BY.sub(" ", written)
    return frozenset(c.upper() for c in bare if c.upper() in labels), rest


# Labels of which something is said may belong to no list before them.
_TELLS_OF = re.compile(r"[均都则]?(?:为|是|属于?|系)(?!正确|对的|答案|应选|本题)[^，,。；;]{2}")
_MARK = re.compile("[,;]")


def _single(options: Mapping[str, str]) -> str:
    """The labels of one character, in order."""
    return "".join(sorted(label for label in options if len(label) == 1))


@lru_cache(maxsize=256)  # most problems have the labels A to D or A to E
def _letters(labels: str, any_case: bool) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds one label, and several of them, at the start of an answer whose marks are those of ASCII."""
    label = f"(?i:[{re.escape(labels)}])" if any_case else f"[{re.escape(labels)}]"
    one = rf"(?:[(\[]?{label}(?:[)\].:]|项|选项)?|(?i:[{re.escape(labels)}])选?项)"
    several = rf"(?P<letters>{one}(?:\s?(?:[,/&+;]|or|and|或|和|及)?\s?{one})*)(?![A-Za-z0-9'-])"
    return re.compile(one), re.compile(several)


@lru_cache(maxsize=256)
def _alone_standing(labels: str) -> re.Pattern[str]:
    """What finds a label anywhere that stands by itself and is not the article of a sentence."""
    return re.compile(rf"(?<![A-Za-z0-9'-])(?<!’)(?!A [a-z]{{4}})[{re.escape(labels or chr(0))}](?![A-Za-z0-9'-])(?!’)")


def _listed(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options of an answer that is a list of them: pieces that are a label alone, or a label with its own text."""
    return frozenset().union(*(_bare(piece, options) for piece in _PIECES.split(text)))


def _bare(piece: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options that a piece of text is and nothing else: labels, an option's text, or both."""
    letters, rest = _leading_letters(_LEAD.sub("", piece.strip(), count=1), options)
    own = frozenset(label for label in letters if normal(options[label]) == normal(rest))
    return (letters if not normal(rest) else own) or _whole(piece, options)


def _whole(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options whose text is all of the answer."""
    whole = normal(text)
    return frozenset(label for label, option in options.items() if normal(option) == whole) if whole else frozenset()


def _without(text: str, options: Mapping[str, str]) -> str:
    """The text with the options' own words blanked, whole words only: an option "no" is not part of "not"."""
    for option in sorted(filter(None, options.values()), key=len, reverse=True):
        low, wanted, at = text.lower(), option.lower(), 0
        while len(low) == len(text) and (at := low.find(wanted, at)) >= 0:
            end = at + len(wanted)
            if not (is_latin(low[at - 1 : at]) or is_latin(low[end : end + 1])):
                text, low = f"{text[:at]} {text[end:]}", f"{low[:at]} {low[end:]}"
            at += 1
    return text


def _alone(text: str, option: str) -> bool:
    """Whether a number that is an option stands at the text's end, with nothing before it that changes it."""
    before, found, after = f" {normal(text)} ".rpartition(f" {normal(option)} ")
    return bool(found) and not after.strip() and not _CHANGES.search(before)


def _beside(text: str, chosen: frozenset[str], options: Mapping[str, str]) -> frozenset[str]:
    """Other options that the answer names without denying them or saying something of them."""
    label = _alone_standing(_single(options))
    found: set[str] = set()
    for piece in _STATEMENTS.split(text):
        rest = _without(piece, options)
        others = (_named(piece, options) | frozenset(label.findall(rest))) - chosen
        spare = _SPARE.findall(label.sub(" ", rest))
        if others and not _NEGATED.search(rest) and (len(spare) < 3 or _OFFERS.search(rest)):
            found |= others
    return frozenset(found)


def _named(text: str, options: Mapping[str, str]) -> frozenset[str]:
    """The options whose text stands in the answer as whole words; an option inside a longer one does not count."""
    found: set[str] = set()
    remaining = f" {normal(text)} "
    needles = [(label, f" {normal(option)} ") for label, option in options.items()]
    for label, needle in sorted(needles, key=lambda pair: -len(pair[1])):
        if needle.strip() and needle in remaining:
            found.add(label)
            remaining = remaining.replace(needle, "  ")
    return frozenset(found)


def _join(labels: frozenset[str]) -> str:
    return "".join(sorted(labels))
