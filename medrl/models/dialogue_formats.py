"""Chat templates by name. HuatuoGPT's dialogue format is plain text: role marks that any tokenizer reads, no special tokens.

    {system prompt}<病人>：{question} <HuatuoGPT>：{reply}{EOS}<病人>：{question} <HuatuoGPT>：{reply}{EOS}

The layout follows the published trainer (HuatuoGPT, arXiv 2305.15075, `scripts/finetune.py`): one fixed system prompt,
turns that alternate, the loss on what stands behind the assistant's mark and on the EOS after it. `{% generation %}` marks
those spans, so that `sft.loss_on: assistant` finds them. What stands between turns is from memory, and the system prompt is
our own: to go on from released weights, put theirs into a system message.

What differs: a patient who writes `<HuatuoGPT>：` or an EOS would speak for the assistant, since nothing but text tells the
roles apart. Marks inside a message are written with full-width brackets, and EOS inside a message is a space.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from medrl.errors import TemplateError, did_you_mean

_TEXT = (
    "{% set text %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{% endset %}"
)


@dataclass(frozen=True)
class DialogueFormat:
    """A dialogue as plain text with role marks.

    Attributes:
        patient: Mark before what the patient says.
        doctor: Mark before what the assistant says.
        system: System prompt where the messages bring none.
    """

    patient: str
    doctor: str
    system: str

    @property
    def template(self) -> str:
        """The chat template (Jinja)."""
        marks = (self.patient, self.doctor)
        clean = "".join(f" | replace({mark[:-1]!r}, {_wide(mark[:-1])!r})" for mark in marks)
        clean += " | replace(eos_token, ' ')"
        return (
            "{% if not messages or messages[0]['role'] != 'system' %}{{ " + repr(self.system) + " }}{% endif %}"
            "{% for message in messages %}" + _TEXT + "{% set said = text" + clean + " %}"
            "{% if message['role'] == 'user' %}{{ " + repr(self.patient) + " + said + ' ' }}"
            "{% elif message['role'] == 'assistant' %}{{ " + repr(self.doctor) + " }}"
            "{% generation %}{{ said + eos_token }}{% endgeneration %}"
            "{% elif message['role'] == 'system' and loop.first %}{{ said }}"
            "{% else %}{{ raise_exception('a dialogue has a patient and a doctor, and a system prompt before them') }}"
            "{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ " + repr(self.doctor) + " }}{% endif %}"
        )

    def texts(self, count: int) -> Iterable[str]:
        """What the format adds to `count` chats, so that a tokenizer trained on them knows it."""
        return (f"{self.system}{self.patient}a {self.doctor}a" for _ in range(count))


def _wide(mark: str) -> str:
    return mark.replace("<", "＜").replace(">", "＞")


FORMATS = {
    "huatuogpt": DialogueFormat(
        "<病人>：", "<HuatuoGPT>：",
        "以下是患者与医疗助手HuatuoGPT的对话。HuatuoGPT像医生一样询问病情，给出准确、具体、体贴的回答。",
    ),
    "huatuogpt-en": DialogueFormat(
        "<Patient>:", "<HuatuoGPT>:",
        "A patient talks with HuatuoGPT, who asks like a doctor and answers exactly and kindly.",
    ),
}  # fmt: skip


def format_of(name: str) -> DialogueFormat:
    """The format of that name.

    Raises:
        TemplateError: There is none.
    """
    if name not in FORMATS:
        raise TemplateError(f"there is no chat format {name!r}{did_you_mean(name, FORMATS)}")
    return FORMATS[name]
