"""How a problem travels through another framework: as one text beside its prompt.

Frameworks keep their rows in Arrow tables, which give every row the keys of every other (options A to D and A to J become
ten keys, most of them empty) and refuse mixed types. A text comes through as it was, so the reward judges the very problem
that `medrl verify` does. For rows that medrl did not write, `Columns` says where reference and options stand.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medrl.data.rows import RowFault
from medrl.data.schemas import SCHEMAS, Reading
from medrl.errors import DataError, ProblemError
from medrl.types import KINDS, Message, Problem, Response, ask


def pack(problem: Problem) -> str:
    """A problem as one line of JSON."""
    try:
        return json.dumps(problem.to_json(), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"problem {problem.id!r} cannot travel as JSON: {error}; name images by path and keep metadata plain"
        ) from error


def unpack(value: str | Mapping[str, Any]) -> Problem:
    """The problem that `pack` wrote (or the same as a mapping)."""
    try:
        row = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ProblemError(f"{value!r:.80} is no problem as JSON: {error}; write it with medrl.interop.pack") from error
    if not isinstance(row, Mapping) or not {"id", "messages"} <= set(row):
        raise ProblemError(f"{value!r:.80} is no problem; write it with medrl.interop.pack")
    known = Problem.__dataclass_fields__
    try:
        return Problem.from_json({name: one for name, one in row.items() if name in known})
    except TypeError as error:
        raise ProblemError(f"{value!r:.80} is no problem: {error}") from error


@dataclass(frozen=True)
class Columns:
    """Which columns of a framework's rows hold what. A row with a whole problem needs no other."""

    problem: str = "problem"
    """The whole problem, as `pack` wrote it; goes before all others."""
    reference: str = "reference"
    """The right answer (for a choice its label)."""
    options: str = "options"
    """Options of a choice: label to text, or a list of texts. Rows may leave it empty."""
    aliases: str = "aliases"
    """Other texts that mean the same as the reference, a list."""
    kind: str = "kind"
    """What sort of answer is asked for; told by the options where it is missing."""
    language: str = "language"
    """`en` or `zh`; told by the question where it is missing."""
    id: str = "id"
    """Unique name of the problem; a digest of prompt and reference where it is missing."""
    metadata: str = "metadata"
    """A mapping with what verifiers read beside the reference, such as `answer_type` and limits; or the
    same as JSON text."""

    def missing_from(self, names: Iterable[str], *, needs_reference: bool = True) -> str:
        """Why rows with these columns cannot be judged; "" where they can."""
        names = set(names)
        if not needs_reference or {self.problem, self.reference} & names:
            return ""
        return (
            f"the rows have neither a column {self.problem!r} nor {self.reference!r} (they have: "
            f"{', '.join(sorted(names)) or 'none'}); write them with medrl.interop, or name the columns: "
            "Columns(reference='answer')"
        )

    def problem_of(
        self, row: Mapping[str, Any], messages: Sequence[Message], *, needs_reference: bool = True
    ) -> Problem:
        """The problem of a row that was asked with `messages`.

        Args:
            row: The row.
            messages: What the policy was asked.
            needs_reference: Whether a row without a reference is at fault.

        Raises:
            ProblemError: The row cannot be judged; the message says which column is at fault.
        """
        if row.get(self.problem) is not None:
            try:
                return unpack(row[self.problem])
            except ProblemError as error:
                hint = "or say that it holds something else: Columns(problem='another name')"
                raise ProblemError(f"column {self.problem!r}: {error}, {hint}") from error
        question = question_of(messages)
        asked = {"question": question, "reference": row.get(self.reference)}
        if not needs_reference and not str(asked["reference"] or "").strip() and not _listed(row.get(self.options)):
            return self._filled(SCHEMAS["question"][1](asked, 0, Reading("")), row, messages, question)
        options = _plain_list(row.get(self.options))
        if isinstance(options, Mapping):  # Arrow gives every row the labels of every other
            options = {label: text for label, text in options.items() if text is not None}
        try:
            read = SCHEMAS["judged"][1]({**asked, "options": options}, 0, Reading(""))
        except RowFault as fault:
            raise ProblemError(f"column {self.reference!r} or {self.options!r}: {fault}") from fault
        return self._filled(read, row, messages, question)

    def _filled(self, read: Problem, row: Mapping[str, Any], messages: Sequence[Message], question: str) -> Problem:
        """A problem with what else its row says."""
        kind = row.get(self.kind) or read.kind
        if kind not in KINDS:
            raise ProblemError(f"column {self.kind!r} is {kind!r}; it is one of {', '.join(KINDS)}")
        return replace(
            read,
            id=str(row.get(self.id) or _digest(question, read.reference)),
            messages=tuple(plain(message) for message in messages),
            kind=kind,
            aliases=self._aliases(row),
            language=row.get(self.language) or read.language,
            metadata=self._metadata(row),
        )

    def _aliases(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        aliases = _plain_list(row.get(self.aliases))
        if aliases is None:
            return ()
        if not isinstance(aliases, list | tuple) or not all(isinstance(alias, str) for alias in aliases):
            raise ProblemError(f"column {self.aliases!r} is {aliases!r:.80}; it is a list of texts")
        return tuple(aliases)

    def _metadata(self, row: Mapping[str, Any]) -> dict[str, Any]:
        metadata = row.get(self.metadata)
        if isinstance(metadata, str) and metadata.lstrip()[:1] == "{":  # tables of other frameworks keep it as a text
            try:
                metadata = json.loads(metadata)
            except (ValueError, RecursionError) as error:
                raise ProblemError(
                    f"column {self.metadata!r} is {metadata!r:.80}, which is no JSON: {error}"
                ) from error
        if metadata is not None and not isinstance(metadata, Mapping):
            raise ProblemError(f"column {self.metadata!r} is {metadata!r:.80}; it is a mapping")
        return {name: one for name, one in (metadata or {}).items() if one is not None}


BY_NAME = Columns()


def _plain_list(value: Any) -> Any:
    """An array of numpy, as which some frameworks hand lists on, as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _listed(options: Any) -> bool:
    """Whether a row has options."""
    options = _plain_list(options)
    if isinstance(options, Mapping):
        return any(text is not None for text in options.values())
    return bool(options)


def _digest(*texts: str | None) -> str:
    return hashlib.sha256("\0".join(map(str, texts)).encode()).hexdigest()[:16]


def question_of(messages: Sequence[Message]) -> str:
    """The text of the last user message; an empty prompt is a fault of the row."""
    text = Problem("asked", tuple(messages)).question if messages else ""
    if not text.strip():
        raise ProblemError("the prompt has no text")
    return text


def messages_of(prompt: str | Sequence[Message]) -> tuple[Message, ...]:
    """A prompt as chat messages: a text is one user message."""
    return ask(prompt) if isinstance(prompt, str) else tuple(plain(message) for message in prompt)


def plain(message: Message) -> dict[str, Any]:
    """A message with its text parts; of an image part only that there is one, since judges read references."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = [part if part.get("type") == "text" else {"type": part.get("type", "image")} for part in content]
    return {"role": message.get("role", "user"), "content": content}


def text_of(content: Any) -> str:
    """The text of a message's content, which is a text or a list of typed parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


REASONING = ("reasoning_content", "reasoning", "thinking")  # what chat templates call reasoning that they split off


def spoken(message: Mapping[str, Any]) -> str:
    """What the policy wrote as one text: reasoning that a parser split off is put back, in think tags.

    Without this a format reward never finds `<think>`, and a verifier never sees what was thought. It is put back also
    where the content has think tags of its own: a response with two of them must not look like one with one.
    """
    content = text_of(message.get("content"))
    reasoning = next((message[name] for name in REASONING if isinstance(message.get(name), str)), "")
    if not reasoning.strip():
        return content
    return f"<think>\n{reasoning.strip()}\n</think>\n\n{content}"


def response_of(completion: str | Sequence[Mapping[str, Any]]) -> Response:
    """A completion as a judge may see it: the last message of the policy, and all turns where there were several."""
    if isinstance(completion, str):
        return Response(completion)
    ours = [message for message in completion if message.get("role") == "assistant"]
    text = spoken(ours[-1]) if ours else ""
    turns = tuple({"role": m.get("role", "user"), "content": text_of(m.get("content"))} for m in completion)
    return Response(text, turns if len(completion) > 1 else ())


def written(tokenizer: Any, ids: Sequence[int]) -> Response:
    """What a policy wrote, from its own tokens: special tokens off, and cut at the limit where none of them ends it.

    Models have several ending tokens, and configurations disagree on which; all of them are special, so each is gone where
    special tokens are skipped.
    """
    tokens = getattr(tokenizer, "tokenizer", tokenizer)  # a processor holds one
    ours = [int(one) for one in ids]
    last = ours[-1:]
    ended = bool(last) and (last[0] == tokens.eos_token_id or not tokens.decode(last, skip_special_tokens=True))
    text = str(tokens.decode(ours, skip_special_tokens=True))
    return Response(text, finish_reason="stop" if ended else "length", token_count=len(ours))


def packed(problems: Sequence[Problem], framework: str) -> list[tuple[Problem, list[dict[str, Any]], str]]:
    """Each problem with its messages and its text, for the rows of a framework; problems with images are refused."""
    seen = [p.id for p in problems if any(not isinstance(m["content"], str) for m in p.messages)]
    if seen:
        raise DataError(
            f"{len(seen)} problems have images or typed parts ({', '.join(seen[:3])}), whose rows differ by model; "
            f"write those rows for {framework} yourself, with medrl.interop.pack(problem) beside the prompt"
        )
    return [(problem, [dict(m) for m in problem.messages], pack(problem)) for problem in problems]


def fault_of(error: Exception) -> str:
    """An error as one line."""
    return " ".join(str(error).split())
