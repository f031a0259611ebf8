"""Which hospital department an answer names, in English and Chinese.

The departments are the clinic's; official Chinese names follow 《医疗机构诊疗科目名录》 (1994). Which other words name them
is a house list; no clinician has reviewed it.
"""

import re
from collections.abc import Mapping

from medrl.rewards.safety.reading import denied, sentences, without_quotes
from medrl.verifiers.extract import answer_within

# Department to the words that name it, besides its names in the clinic's table; longer names first.
WORDS: Mapping[str, str] = {
    "emergency":
        r"emergency (?:medicine|department|room)|accident and emergency|(?-i:\bER\b|"
        r"\bA&E\b|\b(?:the|to|nearest|local) ED\b)|急诊(?:医学)?科|急诊室|急诊",
    "cardiology": r"cardiolog\w+|heart (?:clinic|department)|心血管(?:内)?科|心内科|心脏(?:内)?科",
    "respiratory":
        r"respiratory (?:medicine|department|clinic)|pulmon(?:ology|ologist|ary medicine)|"
        r"chest (?:clinic|medicine)|"
    r"呼吸(?:与危重症医学|内)?科",
    "gastroenterology": r"gastroenterolog\w+|hepatolog\w+|消化(?:内)?科|肝病科|胃肠内科",
    "general_surgery": r"general surg\w+|普通外科|普外科?|胃肠外科|肝胆外科",
    "neurology": r"\bneurolog(?:y|ist)\b|神经(?:内)?科|脑内科",
    "endocrinology": r"endocrinolog\w+|diabetes clinic|内分泌(?:代谢)?科",
    "nephrology": r"nephrolog\w+|renal medicine|肾(?:脏)?(?:内|病)?科",
    "urology": r"\burolog(?:y|ist)\b|泌尿(?:外)?科",
    "hematology": r"ha?ematolog\w+|血液(?:内|病)?科",
    "infectious_disease": r"infectious diseases?|infectiolog\w+|感染(?:性疾病|内)?科|传染(?:病)?科",
    "rheumatology": r"rheumatolog\w+|风湿(?:免疫)?(?:内)?科",
    "orthopedics": r"orthop(?:a)?edic\w*|骨(?:外|伤)?科|矫形外科",
    "dermatology": r"dermatolog\w+|皮肤(?:性病)?科",
    "psychiatry": r"psychiatr\w+|精神(?:卫生|心理)?科|心理科|精神病院",
    "otolaryngology":
        r"otolaryngolog\w+|otorhinolaryngolog\w+|(?-i:\bENT\b)|ear,? nose,? and throat|"
        r"耳鼻(?:咽)?喉(?:头颈外)?科|五官科",
    "ophthalmology": r"ophthalmolog\w+|eye (?:clinic|department|hospital)|眼科",
    "obstetrics_gynecology":
        r"obstetric\w*(?:,? (?:and|&) gyna?ecolog\w*)?|gyna?ecolog\w+|(?-i:\bOB-?/?GYN\b)|"
        r"妇产科|妇科|产科",
    "pediatrics": r"pa?ediatric(?:s|ian)?\b|儿(?:内)?科|小儿科",
}  # fmt: skip
_NAMED = re.compile("|".join(f"(?P<{name}>{words})" for name, words in WORDS.items()), re.IGNORECASE)


def said_departments(answer: str) -> frozenset[str]:
    """The departments that a plain visible answer sends to, denied, asked and conditional ones left out.

    The emergency department beside another one says how soon, not who, and is left out.
    """
    answer = without_quotes(answer)
    found = answer_within(answer, (0, len(answer)))
    if found is None:
        return frozenset()
    text = answer
    if found.how in ("boxed", "tag", "stated"):
        committed = "\n".join((*found.earlier, found.text, *found.after))
        text = committed if _NAMED.search(committed) else answer
    elif found.how == "short":
        text = found.text
    named = {
        str(match.lastgroup)
        for sentence in sentences(text)
        if not sentence.asks
        for match in _NAMED.finditer(sentence.text, 0, sentence.condition)
        if not denied(sentence.text, match.start(), match.end())
    }
    return frozenset(named - {"emergency"} or named)
