"""A small byte-level BPE tokenizer with a chat template, trained on the texts at hand, for models made from scratch."""

from collections.abc import Iterable
from itertools import chain

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from medrl.models.dialogue_formats import format_of

PAD, START, END, IMAGE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"

# ChatML, the layout of the Qwen family. `generation` marks what the assistant writes, for losses on it alone.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% set text %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endset %}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ text + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}"
    "{% else %}{{ text + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 2048, chat_format: str | None = None
) -> PreTrainedTokenizerFast:
    """Byte-level BPE over `texts`: any text can be written, Chinese too; frequent words become one token.

    Args:
        texts: What the model will read and write.
        vocab_size: At most so many tokens; 256 bytes and 4 special tokens among them.
        chat_format: Name of a chat template (`dialogue_formats`) whose words are learnt too; ChatML when empty.
    """
    layout = format_of(chat_format) if chat_format is not None else None
    if layout is not None:
        texts = list(texts)
        texts = chain(texts, layout.texts(len(texts)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, padding_side="left")
    fast.chat_template = CHAT_TEMPLATE if layout is None else layout.template
    return fast
