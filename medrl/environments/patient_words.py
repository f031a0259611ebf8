"""How the simulated patient answers what the clinic's own wording (`medrl.data.clinic.speech`) has no piece for.

English and Chinese, written for this project. `{it}` is what was asked for.
"""

from collections.abc import Mapping

# Piece to its English and its Chinese wordings.
WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "yes": (("Yes, {it}.", "Yes, I have that: {it}."), ("有，{it}。", "对，有{it}。")),
    "no": (("No, no {it}.", "No {it} that I've noticed."), ("没有{it}。", "没注意到有{it}。")),
    "cannot_know": (
        ("I can't tell you about {it}, nobody has looked.", "{it}? I wouldn't know that."),
        ("{it}我自己不知道，没人查过。", "{it}？这个我说不上来。"),
    ),
    "unknown": (("I couldn't say.", "I don't know about that."), ("这个我不清楚。", "说不好。")),
    "found": (("The examination shows {it}.",), ("查体发现{it}。",)),
    "not_found": (("The examination shows no {it}.",), ("查体没有{it}。",)),
    "look_where": (("All right. What are you looking for?",), ("好的，您要看什么？",)),
    "result": (("The result of {test}: {it}.",), ("{test}结果：{it}。",)),
    "normal": (("The result of {test}: nothing abnormal.",), ("{test}结果：未见异常。",)),
    "nothing_new": (("The result of {test}: nothing that tells more.",), ("{test}结果：没有更多提示。",)),
    "again": (("As I said: {it}.", "I told you already: {it}."), ("刚才说过了：{it}。", "我已经说了：{it}。")),
    "again_yes": (("yes, {it}",), ("有{it}",)),
    "again_no": (("no {it}",), ("没有{it}",)),
    "too_many": (
        ("That's a lot at once, I can only answer the first.", "One thing at a time, please; to the first:"),
        ("您一下问太多了，我只答第一个。", "一个一个问吧，先说第一个。"),
    ),
    "too_long": (("That was too long for me to follow. Please ask in short.",), ("太长了，我听不明白，请简单问。",)),
    "leading": (
        ("Please don't put words in my mouth, just ask me.", "You seem to know already. Ask me openly, please."),
        ("您别替我说，直接问我就好。", "您这样问我不好回答，请直接问。"),
    ),
    "diagnosis": (
        ("I don't know what it is, doctor. That's why I came.", "You are the doctor, I can't tell you that."),
        ("我也不知道是什么病，所以才来看医生。", "这个得您来判断，我说不出来。"),
    ),
    "role": (("I'm only here because I don't feel well.",), ("我只是来看病的。",)),
    "else": (("Nothing else comes to mind. Ask me about something.",), ("一时想不起别的，您具体问吧。",)),
    "nothing": (
        ("Is there something you would like to ask me, doctor?", "And now, doctor?"),
        ("医生，您还要问我什么吗？", "那现在怎么办，医生？"),
    ),
}
