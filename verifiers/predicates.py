"""What a sentence says of the thing that it names: that it is the answer, or anything else.

"The diagnosis is X" and "X fits best" commit to X. "His mother's diagnosis was X", "X is a red herring" and "X, which CT
refuted" do not. There is no end of such sentences, so the words that may stand there are listed, not those that may not.
"""

import re
from collections.abc import Sequence

from medrl.verifiers.normalise import normal, tokens
from medrl.verifiers.patterns import Pattern
from medrl.verifiers.wording import Asked, says_nothing

# Words after which an answer names its thing, wherever they stand.
COMMITS = Pattern(
    r"\b(?:is|are|was|be|suggests?|indicates?|means?|confirms?|identif(?:y|ies)|points? to|fits?(?: with)?|favou?rs?|expect|"
    r"(?:consistent|compatible) with|suspicious for|diagnostic of|typical of|called|named|known as|termed|give|use|choose|"
    r"prescribe|caused by|spells|reflects?|represents?|requires?|stands for|comes from)\b"
    r"(?: (?:the|an?|most likely|likely|probably))* |"
    r"考虑为?|诊断为|提示为?|即为|符合|支持|首选|选用|应用|给予|称为|又称|称作|属于|倾向于|个人倾向于|大概率是|多为|"
    r"表达|应是|出现|发生|形成|为|是",
    re.IGNORECASE,
)
# After these what is named was found; after "is" it is whatever the subject says.
_FOUND = re.compile(
    r"\b(?:suggests?|indicates?|means?|confirms?|identif(?:y|ies)|points? to|favou?rs?|(?:consistent|compatible) with|"
    r"suspicious for|diagnostic of|typical of|caused by|spells)\b(?: that)?|考虑|诊断为|提示|符合|支持|首选|选用|应用|给予|"
    r"倾向于|大概率是|表达|出现|发生|形成",
    re.IGNORECASE,
)
# Another person, another time, another rank, or the look of a thing.
_ELSEWHERE = re.compile(
    r"\b(?:(?:grand|step)?(?:mother|father|parent)|brother|sister|sibling|twin|son|daughter|uncle|aunt|cousin|wife|husband|"
    r"famil\w*|relative|previous\w*|past|prior|former\w*|old|ago|last|earlier|once|child\w*|referr\w+|initial\w*|elsewhere|"
    r"students?|intern|wrong\w*|incorrect\w*|mis\w+|least|less|alternative\w*|distract\w+|traps?|tempt\w+|allerg\w+|stop\w*|"
    r"avoid\w*|with(?:hold|held)|hold|held|mimic\w*|resembl\w+|simulat\w+|imitat\w+|differential\w*|ddx|second|other|another|"
    r"thoughts?|history|complicat\w+|opposite|possibilit\w+|used to|discard\w+|dismiss\w+|reject\w+|refut\w+|disprov\w+|"
    r"exclu\w+|fail\w*|doubt\w*|fear\w*|worr\w+|exception|would|were|had|unless|until|whether|half|culprit|offend\w*|harm\w*|"
    r"danger\w*|taper\w*|replac\w+|antidote|protect\w*|prevent\w*|vaccin\w+)\b|"
    r"曾|误|既往|外院|原(?=$|诊)|初诊|母|父|兄|姐|妹|家族|易|担心|怀疑|缺乏|没有|像|貌似|类似|以前|过去|从前|上次|预防|风险|宜",
    re.IGNORECASE,
)
# A subject of which "is" says that it is the answer, besides words without content and the question's own.
_SUBJECTS = frozenset(
    normal(
        "hallmark key finding abnormality explanation treatment therapy line final definitive underlying primary overall "
        "unifying working clinical patient mechanism structure agent pathogen lesion test study step management "
        "what which who his her their have has he she they presentation picture"
    ).split()
)
# What a predicate may hold that calls its subject the answer.
_VERBS = frozenset("is was would should remain fit explain account best cause given confirm has".split())
_PRAISE = frozenset(
    normal(
        "be been is was would should the a an it this these those all most more likely best correct right true answer "
        "diagnosis cause choice option drug agent treatment therapy medication test organism pathogen first line preferred "
        "recommended indicated appropriate suitable fit fits explain explains account accounts accounting findings picture "
        "presentation everything features symptoms signs case patient patient's here probable proven confirmed diagnosed "
        "given used started definitive final my our of in to by with for from biopsy imaging ct mri culture "
        "single well and better good excellent reasonable usual standard"
    ).split()
)
# "The cause of X" and "a drug for X" are not X.
_RELATES = frozenset("cause drug medication agent virus organism bacterium bacteria species condition disease".split())
_DENIED_LATER = re.compile(
    r"\b(?:red herring|distractor|unlikely|improbabl\w+|implausibl\w+|wrong|incorrect|false|doubt\w*|ruled out|excluded|"
    r"refuted|disprove[dn]|"
    r"never|"
    r"dismissed|rejected|discarded|withdr\w+|retract\w*|disregard|mistaken\w*|erroneous\w*|(?:mother|father|brother|sister|"
    r"family|relatives?|referral) (?:had|has|said|claim\w+)|was (?:treated|once|thought|believed|suspected|presumed)|"
    r"once thought|(?:not|n't) (?:really|fit|explain|hold|it|so|true|right|correct|the case|the answer))\b|"
    r"不对|错误|不成立|不符|已排除|被否定|被推翻|不支持该",
    re.IGNORECASE,
)


def speaks_elsewhere(text: str) -> bool:
    """Whether a text speaks of another person, another time, another rank, or of what only looks like the answer."""
    return bool(_ELSEWHERE.search(text))


def introduces(before: str, verb: str, asked: Asked) -> bool:
    """Whether a subject and its verb leave it to what follows to be the answer."""
    elsewhere = [match[0] for match in _ELSEWHERE.finditer(before)]
    if not all(_in_question(word, asked) for word in elsewhere):
        return False
    if _FOUND.match(verb):
        return True
    found = list(_FOUND.finditer(before))
    subject = tokens(before[found[-1].end() :] if found else before)
    return says_nothing((word for word in subject if word not in _SUBJECTS), asked)


def _in_question(word: str, asked: Asked) -> bool:
    words = tokens(word)
    return all(one in asked.words or (one > "\u3400" and one in asked.han) for one in words)


def calls_it_the_answer(tail: Sequence[str]) -> bool:
    """Whether the words after a thing are a predicate that says it is the answer, and nothing else."""
    if not tail or tail[0] not in _VERBS:
        return False
    return (all(word in _PRAISE for word in tail) and len(tail) > 1) or _verb_alone(tail)


def _verb_alone(tail: Sequence[str]) -> bool:
    return len(tail) == 1 and tail[0] in ("fit", "best")


def relates(lead: Sequence[str]) -> bool:
    """Whether words before a thing speak of something that stands to it in a relation: the cause of it, a drug for it."""
    return len(lead) > 1 and lead[-1] in ("of", "for", "in", "with") and not _RELATES.isdisjoint(lead[:-1])


def takes_back(tail: str) -> bool:
    """Whether what follows an answer says that it does not hold."""
    return bool(_DENIED_LATER.search(tail[:200]))


_CORRECTED = re.compile(
    r"(?:^|[.,:;!。，：；！\n—–-])\s{0,4}"
    r"(?:(?:but|wait|hm{1,4}|oops|sorry|actually|rather|really|i mean|well)\b|no(?=\s?[,:;—–-]))[\s,:;—–-]{1,4}|"
    r"(?:\b(?:it|this|that|the (?:answer|diagnosis|choice))(?:'s| is| must be| should be| has to be)\s|"
    r"[其应该际]是|应为|其实)"
    r"(?:(?:really|actually|rather|instead)\s)?",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[,;!?，。；！？\n]|\.(?=\s|$)")


def corrections(text: str) -> list[str]:
    """What a text may say instead of what it said before: ["gout"], of "Lupus. Wait, it is gout." At most the last eight."""
    ends = [found.end() for found in _CORRECTED.finditer(text)][-8:]
    return [said for end in ends if (said := _CLAUSE_END.split(text[end : end + 80], maxsplit=1)[0].strip(" *"))]
