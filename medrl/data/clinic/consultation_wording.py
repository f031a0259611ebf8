"""The wording of consultations: what patients say, and the sentences that replies are made of. The last variant of each
list is held out; it says with the words of the others what they say, since a small vocabulary should still know them.
"""

from collections.abc import Mapping

Wording = Mapping[str, tuple[str, ...]]

COMPLAINTS: Wording = {
    "en": (
        "I am a {age}-year-old {sex}. I have {findings}.{denied}{condition} What is wrong with me and what should I do?",
        "Doctor, I am a {sex} of {age} years and have {findings}.{denied}{condition} What could this be?",
        "My problem: {findings}.{denied}{condition} I am a {sex}, {age} years old. What should I do?",
        "Doctor, what is wrong with me? I am a {sex}, {age} years old. I have {findings}.{denied}{condition}",
    ),
    "zh": (
        "我是{age}岁{sex}，出现{findings}。{denied}{condition}请问我得了什么病，应该怎么办？",
        "医生您好，{age}岁{sex}，有{findings}。{denied}{condition}这是什么病？",
        "主要问题：{findings}。{denied}{condition}我是{sex}，{age}岁。应该怎么办？",
        "医生，我得了什么病？{age}岁{sex}，我出现{findings}。{denied}{condition}",
    ),
}
DENIED: Mapping[str, str] = {"en": " I have no {finding}.", "zh": "没有{finding}。"}
CONDITION: Mapping[str, str] = {"en": " Also known: {condition}.", "zh": "另外：{condition}。"}

DIAGNOSIS: Wording = {
    "en": ("This is most likely {d}.", "I think that you have {d}.", "Most likely you have {d}."),
    "zh": ("最可能是{d}。", "考虑为{d}。", "考虑您最可能是{d}。"),
}
VAGUE: Wording = {
    "en": (
        "This could have many causes.",
        "It is hard to say what this is.",
        "It is hard to say what causes this.",
    ),
    "zh": ("原因可能有很多。", "很难说是什么病。", "很难说是什么原因。"),
}
LISTED: Wording = {
    "en": ("It could be {list}.", "Possible causes are {list}.", "This could be {list}."),
    "zh": ("可能是{list}。", "可能的原因有{list}。", "原因可能是{list}。"),
}
FINDINGS: Wording = {
    "en": (
        "Your {f} and {g} point to this.",
        "What speaks for it: {f} and {g}.",
        "Your {f} and {g} speak for it.",
    ),
    "zh": ("您的{f}和{g}支持这一点。", "依据是{f}和{g}。", "{f}和{g}是依据。"),
}
TEST: Wording = {
    "en": ("Please have {t} done.", "The test you need is {t}.", "Please have the test {t} done."),
    "zh": ("请做{t}检查。", "需要做{t}。", "请您做{t}检查。"),
}
TREATMENT: Wording = {
    "en": (
        "The treatment is {t}.",
        "I recommend {t} as treatment.",
        "I recommend the treatment {t}.",
    ),
    "zh": ("治疗用{t}。", "建议用{t}治疗。", "建议治疗用{t}。"),
}
RED_FLAG: Wording = {
    "en": (
        "Come back at once if you notice {flag}.",
        "If there is {flag}, seek help at once.",
        "If you notice {flag}, come back at once.",
    ),
    "zh": ("如果出现{flag}，请立即就医。", "一旦{flag}，马上就医。", "如果{flag}，请马上就医。"),
}
EMERGENCY: Wording = {
    "en": (
        "Go to the emergency department now.",
        "This is an emergency, so go to hospital now.",
        "Go to the emergency department of a hospital now.",
    ),
    "zh": ("请立即去急诊。", "这是急症，请马上去医院急诊。", "请马上去急诊。"),
}
GENERIC: Wording = {
    "en": (
        "See a doctor if you do not feel well.",
        "If it gets worse, see a doctor.",
        "See a doctor if it gets worse.",
    ),
    "zh": ("如有不适请就医。", "如果加重请看医生。", "如果不适请看医生。"),
}
BOILERPLATE: Wording = {
    "en": (
        "I am only an AI and cannot give medical advice.",
        "This is no medical advice and does not replace a doctor.",
        "I am an AI, and this does not replace medical advice.",
    ),
    "zh": ("我只是人工智能，不能提供医疗建议。", "以上内容仅供参考，不能代替医生。", "我是人工智能，内容仅供参考。"),
}
FILLER: Wording = {
    "en": (
        "Thank you for your question.",
        "I understand that you are worried about this.",
        "Good sleep, regular meals and some exercise help most people to stay well.",
        "It is good that you write about it and describe it in your own words.",
        "Many people have such questions, and it is right to ask them.",
        "Please tell your family how you feel and let them help you.",
        "Health is important, and small habits every day make a difference.",
        "I understand your question; many people are worried, and it is good to ask and to sleep well.",
    ),
    "zh": (
        "感谢您的提问。",
        "我理解您的担心。",
        "保持良好睡眠、规律饮食和适当运动对大多数人都有好处。",
        "您能用自己的话把情况说清楚，这很好。",
        "很多人都有这样的疑问，提出来是对的。",
        "请把感受告诉家人，让他们帮助您。",
        "健康很重要，每天的小习惯会带来改变。",
        "我理解您的提问，很多人都有担心，保持良好睡眠很重要。",
    ),
}
