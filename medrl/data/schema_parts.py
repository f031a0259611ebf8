"""What the functions of the published schemas share: how a file is read, labels, options, and the problem at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from medrl.data.rows import Row, RowFault, language_of, required
from medrl.types import Kind, Problem, ask


@dataclass(frozen=True)
class Reading:
    """How the rows of one data set are read; without `needs_reference` a question alone is a problem too."""

    name: str
    instruction: str | None = None
    language: str | None = None
    prompt: str | None = None
    reference: str | None = None
    options: str | None = None
    needs_reference: bool = True


def problem_of(
    row: Row, number: int, reading: Reading, question: str, reference: str | None, kind: Kind = "open",
    options: Mapping[str, str] | None = None, key: str = "id", listed: bool = True, **metadata: Any,
) -> Problem:  # fmt: skip
    """The common end of every schema. Options are written below the question, then the instruction."""
    text = question.strip()
    if options and listed:
        text += "".join(f"\n{label}. {option}" for label, option in options.items())
    if reading.instruction:
        text += f"\n\n{reading.instruction}"
    name = row.get(key)
    return Problem(
        id=f"row-{number}" if name is None or name == "" else str(name),
        messages=ask(text),
        reference=reference,
        kind=kind,
        options=dict(options or {}),
        language=reading.language or row.get("lang") or row.get("language") or language_of(question),
        metadata={"source": reading.name, "row": number, **{k: v for k, v in metadata.items() if v is not None}},
    )


def label_of(value: Any, options: Mapping[str, str]) -> str:
    """One label or several ("ACD"), each of which must be an option."""
    label = "".join(value) if isinstance(value, list) else str(value or "").strip()
    if not label:
        raise RowFault("the row has no reference (its answer label is empty)")
    if label not in options and not all(letter in options for letter in label):
        raise RowFault(f"the answer label {label!r} is none of the options {', '.join(options)}")
    return label


def options_of(value: Any) -> dict[str, str]:
    """A mapping label to text, a list of {"key", "value"} rows, or a list of texts that get letters."""
    if isinstance(value, Mapping):
        options = {str(label): str(text) for label, text in value.items() if text is not None}
    elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        options = {required(one, "key"): required(one, "value") for one in value}
    elif isinstance(value, list):
        options = dict(zip(ascii_uppercase, map(str, value), strict=False))
    else:
        raise RowFault(f"options are {value!r}; give a mapping of label to text, or a list")
    if len(options) < 2:
        raise RowFault("there are fewer than two options")
    return options
