"""The wording of the clinic's problems. The last frame and the last question of each list are held out.

A frame says who the patient is, a question what is asked. Both sides of the split must stay apart, so a held-out prompt
never uses a frame or question that training sees (unless `heldout_templates` is off). Those of a diagnosis use the same
words in another order, since a small vocabulary built on training prompts should still know them.
"""

import re
from collections.abc import Sequence
from typing import TypeVar

SEX = {
    "en": {("female", True): "woman", ("male", True): "man", ("female", False): "girl", ("male", False): "boy"},
    "zh": {("female", True): "女性", ("male", True): "男性", ("female", False): "女孩", ("male", False): "男孩"},
}

FRAMES = {
    "en": (
        "A {age}-year-old {sex} has {findings}.{denied} {ask}",
        "Patient: {sex}, {age} years old. Findings: {findings}.{denied} {ask}",
        "A {age}-year-old {sex} comes to the clinic with {findings}.{denied} {ask}",
        "Findings in a {sex} of {age} years: {findings}.{denied} {ask}",
        "Findings: {findings}.{denied} Patient: {age}-year-old {sex}. {ask}",
    ),
    "zh": (
        "一名{age}岁{sex}，出现{findings}。{denied}{ask}",
        "患者{sex}，{age}岁，表现：{findings}。{denied}{ask}",
        "{age}岁{sex}因{findings}来诊。{denied}{ask}",
        "一名{sex}，{age}岁，有以下表现：{findings}。{denied}{ask}",
        "表现：{findings}。{denied}患者{sex}，{age}岁。{ask}",
    ),
}

DENIED = {"en": " No {finding}.", "zh": "无{finding}。"}

QUESTIONS = {
    "en": {
        "diagnosis": (
            "What is the single most likely diagnosis?",
            "What is the diagnosis?",
            "What is the most likely diagnosis?",
        ),
        "department": (
            "Which department should see the patient?",
            "Name the right department.",
            "Which is the right department?",
        ),
        "treatment": (
            "Name one first-line treatment.",
            "What is a first-line treatment?",
            "Which treatment is first-line?",
        ),
        "test": ("Name one test that is needed.", "Which test is needed?", "What test should be done?"),
        "drug_class": (
            "Which of these drugs is a {subject}?",
            "Which one belongs to the class {subject}?",
            "Which drug below belongs to {subject}?",
        ),
        "antidote": (
            "What is the antidote of {subject}?",
            "Which antidote is given for {subject}?",
            "Which one is the {subject} antidote?",
        ),
        "contraindication": (
            "Which of these is a contraindication to {subject}?",
            "In which of these must {subject} be avoided?",
            "Which one is a {subject} contraindication?",
        ),
        "dose": (
            "{drug} for a {age}-year-old {sex} of {weight} kg: {amount}, {frequency}. How many {unit} is {what}?",
            "A {sex} aged {age} who weighs {weight} kg takes {drug} {amount}, {frequency}. Give {what} in {unit}.",
            "Give {what} of {drug} in {unit} for a {weight} kg {sex}, {age} years old, at {amount}, {frequency}.",
        ),
        "conversion": (
            "{lab} is {value} {unit}. What is it in {si}?",
            "Convert {lab} {value} {unit} to {si}.",
            "How many {si} is a {lab} of {value} {unit}?",
        ),
        "contraindicated": (
            "A {age}-year-old {sex} has {condition}. Is {drug} contraindicated?",
            "Patient: {sex}, {age} years old, with {condition}. Is {drug} contraindicated?",
            "Is {drug} contraindicated in a {sex} of {age} years who has {condition}?",
        ),
        "range": (
            "Does {lab} {value} {unit} lie {direction} the reference range?",
            "{lab} is {value} {unit}. Is this {direction} the reference range?",
            "Is a {lab} of {value} {unit} {direction} the reference range?",
        ),
        "red_flag": (
            "A {age}-year-old {sex} has {disease}. Is this a red flag: {flag}?",
            "Patient: {sex}, {age} years old, with {disease}. New: {flag}. Is that a red flag?",
            "Is {flag} a red flag in a {sex} of {age} years who has {disease}?",
        ),
        "class_members": (
            "Which of these drugs belong to the class {subject}? {listed}. Name all of them.",
            "From this list name all drugs of the class {subject}: {listed}.",
            "{listed}. Name all of these drugs that belong to {subject}.",
        ),
        "typical_findings": (
            "Which of these findings belong to {subject}? {listed}. Name all of them.",
            "From this list name all findings of {subject}: {listed}.",
            "{listed}. Name all of these findings that belong to {subject}.",
        ),
        "triage": (
            "Is this routine, urgent or an emergency, and which department should see the patient?",
            "Give the acuity (routine, urgent, emergency) and the department.",
            "Which acuity (routine, urgent, emergency), and which department?",
        ),
    },
    "zh": {
        "diagnosis": ("最可能的诊断是什么？", "诊断是什么？", "最可能的诊断？"),
        "department": ("应到哪个科室就诊？", "请给出就诊科室。", "就诊科室是哪个？"),
        "treatment": ("请给出一种一线治疗。", "一线治疗是什么？", "哪种治疗是一线治疗？"),
        "test": ("请给出一项需要做的检查。", "需要做哪项检查？", "应做什么检查？"),
        "drug_class": ("下列哪种药物属于{subject}？", "哪一种是{subject}？", "以下药物中哪种属于{subject}类？"),
        "antidote": ("{subject}的解毒剂是什么？", "{subject}中毒用哪种解毒剂？", "哪一种是{subject}的解毒剂？"),
        "contraindication": ("下列哪项是{subject}的禁忌证？", "哪种情况禁用{subject}？", "{subject}的禁忌证是哪一项？"),
        "dose": (
            "{age}岁{sex}，体重{weight} kg，使用{drug}：{amount}，{frequency}。{what}是多少{unit}？",
            "患者{sex}，{age}岁，{weight} kg，{drug} {amount}，{frequency}。请以{unit}给出{what}。",
            "体重{weight} kg的{age}岁{sex}，按{amount}、{frequency}使用{drug}，{what}为多少{unit}？",
        ),
        "conversion": (
            "{lab}为{value} {unit}，等于多少{si}？",
            "将{lab} {value} {unit}换算为{si}。",
            "{value} {unit}的{lab}是多少{si}？",
        ),
        "contraindicated": (
            "{age}岁{sex}，{condition}。是否禁用{drug}？",
            "患者{sex}，{age}岁，{condition}。{drug}是否禁用？",
            "{drug}对{condition}的{age}岁{sex}是否禁用？",
        ),
        "range": (
            "{lab} {value} {unit}是否{direction}参考范围？",
            "{lab}为{value} {unit}，这是否{direction}参考范围？",
            "{value} {unit}的{lab}是否{direction}参考范围？",
        ),
        "red_flag": (
            "{age}岁{sex}患{disease}。以下是否为危险信号：{flag}？",
            "患者{sex}，{age}岁，{disease}，新出现{flag}。这是危险信号吗？",
            "{flag}对患{disease}的{age}岁{sex}是否为危险信号？",
        ),
        "class_members": (
            "下列药物中哪些属于{subject}？{listed}。请全部列出。",
            "从以下列表中列出所有{subject}：{listed}。",
            "{listed}。请列出其中所有属于{subject}的药物。",
        ),
        "typical_findings": (
            "下列表现中哪些属于{subject}？{listed}。请全部列出。",
            "从以下列表中列出{subject}的所有表现：{listed}。",
            "{listed}。请列出其中所有属于{subject}的表现。",
        ),
        "triage": (
            "分诊级别（常规、紧急、急诊）是什么？应到哪个科室就诊？",
            "请给出分诊级别（常规、紧急、急诊）和就诊科室。",
            "分诊级别（常规、紧急、急诊）与就诊科室是什么？",
        ),
    },
}

ANSWER_WITH = {
    "choice": {"en": " Answer with one letter.", "zh": "请用一个字母回答。"},
    "yes_no": {"en": " Answer yes or no.", "zh": "请回答是或否。"},
    "set": {"en": "", "zh": ""},
    "number": {"en": "", "zh": ""},
    "term": {"en": "", "zh": ""},
    "triage": {"en": "", "zh": ""},
}

Item = TypeVar("Item")


def of_split(variants: Sequence[Item], held_out: bool) -> list[tuple[int, Item]]:
    """The variants that one side may use, with their numbers."""
    numbered = list(enumerate(variants))
    return numbered[-1:] if held_out else numbered[:-1]


def listing(names: Sequence[str], language: str) -> str:
    """`a, b and c`, or the Chinese way."""
    if language == "zh":
        return "、".join(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_AN = re.compile(r"\b([Aa]) (?=(?:8\d?|11|18)\b)")


def article(text: str) -> str:
    """English with `an` before 8, 11, 18 and the eighties."""
    return _AN.sub(r"\1n ", text)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
