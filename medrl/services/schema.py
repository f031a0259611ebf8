"""What the service reads and writes, as typed models; `/openapi.json` is made of these."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from medrl.errors import MedrlError
from medrl.services.reading import Refused
from medrl.types import FinishReason, Group, Kind, Problem, Response, Status, ask
from medrl.verifiers.protocol import digest

MOST_GROUPS = 4096
MOST_RESPONSES = 4096

EXAMPLE: dict[str, Any] = {
    "groups": [
        {
            "problem": {
                "id": "graves-1",
                "question": "A woman of 34 has weight loss, tremor and exophthalmos. What is the diagnosis?",
                "reference": "Graves disease",
            },
            "responses": [
                "## Thinking\n\nHyperthyroid, and the eyes bulge.\n\n## Final Response\n\nGraves disease",
                {"text": "## Thinking\n\nTremor.\n\n## Final Response\n\nParkinson disease", "token_count": 14},
            ],
        }
    ]
}


class Strict(BaseModel):
    """Nothing is converted, and nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class MessageIn(Strict):
    """One chat message; further keys are kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: str
    content: str | Annotated[list[dict[str, JsonValue]], Field(max_length=256)]


Messages: TypeAlias = Annotated[list[MessageIn], Field(max_length=1024)]


class ProblemIn(Strict):
    """A question with what is needed to check an answer to it; see `medrl.types.Problem`."""

    id: str = Field("", description="Empty: a hash of the rest.", max_length=4096)
    question: str | None = Field(None, description="The user's message; give this or `messages`.")
    messages: Messages | None = Field(None, description="The whole chat, the last message from the user.")
    reference: str | None = Field(None, description="The right answer; for a choice its label.")
    kind: Kind = "open"
    options: dict[str, str] = Field({}, description="Label to text of a choice problem.", max_length=1000)
    aliases: Annotated[list[str], Field(max_length=10_000)] = []
    language: str = Field("en", description="ISO 639-1: en or zh.", max_length=16)
    metadata: dict[str, JsonValue] = {}

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.question is None) == (self.messages is None):
            raise ValueError("give either `question` or `messages`")
        return self


class ResponseIn(Strict):
    """What a judge may see of an episode."""

    text: str
    turns: Messages = []
    finish_reason: FinishReason = "stop"
    token_count: int | None = Field(None, ge=0)
    measured: dict[str, JsonValue] = Field({}, description="What the environment of the episode measured.")


class GroupIn(Strict):
    """A problem and the responses to it, which are scored together."""

    problem: ProblemIn
    responses: Annotated[list[str | ResponseIn], Field(min_length=1, max_length=MOST_RESPONSES)]


class StreamGroupIn(GroupIn):
    """A line of a stream."""

    id: str = Field(description="Comes back with the scores.", min_length=1, max_length=512)


class ItemIn(Strict):
    """One response to one problem, a group of its own."""

    problem: ProblemIn
    response: str | ResponseIn


class ScoreRequest(Strict):
    """Groups, or items; what comes back has the same shape and order."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [EXAMPLE]})

    groups: Annotated[list[GroupIn], Field(min_length=1, max_length=MOST_GROUPS)] | None = None
    items: Annotated[list[ItemIn], Field(min_length=1, max_length=MOST_GROUPS)] | None = None
    step: int = Field(0, ge=0, description="Training step, for rewards that anneal; 0 outside training.")
    parts: bool = Field(True, description="Whether each score comes with the parts of the tree and their verdicts.")

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.groups is None) == (self.items is None):
            raise ValueError("give either `groups` or `items`")
        return self


class VerdictOut(BaseModel):
    """What a verifier says of one answer."""

    score: float | None
    status: Status
    answer: str | None
    span: tuple[int, int] | None
    reason: str
    stage: str
    cost: dict[str, float]
    parts: dict[str, float]
    votes: list[tuple[int | None, str]]


class PartOut(BaseModel):
    """One node of the tree."""

    value: float | None
    status: Status
    verdict: VerdictOut | None
    reason: str


class ScoreOut(BaseModel):
    """A number, or **no number**: `value` is null exactly where `status` is not `ok`. Null is not 0."""

    value: float | None
    status: Status
    parts: dict[str, PartOut]
    reason: str
    token_values: list[float] | None


class GroupOut(BaseModel):
    """The scores of a group, in the order of its responses."""

    id: str = Field(description="The problem's id.")
    scores: list[ScoreOut]


class ScoreResponse(BaseModel):
    """Where groups were asked about, `groups`; where items were, `items`. With status 504 some are `timeout`."""

    request_id: str
    fingerprint: str = Field(description="Of the reward tree; changes when scores may.")
    groups: list[GroupOut] | None = None
    items: list[ScoreOut] | None = None


class StreamLineOut(BaseModel):
    """A line of the answer to a stream: scores, or why a line was refused; the last line says that it is whole."""

    id: str | None = None
    scores: list[ScoreOut] | None = None
    error: dict[str, Any] | None = None
    done: Literal[True] | None = None
    groups: int | None = None
    refused: int | None = None


class RewardOut(BaseModel):
    """The tree that is served."""

    fingerprint: str
    config: dict[str, Any]
    description: str
    version: str


class HealthOut(BaseModel):
    """Whether the service lives, or is ready."""

    status: str
    workers: int | None = None
    self_check: str | None = None


class RewardQuery(Strict):
    """OpenRLHF 0.11's remote reward request, exactly."""

    query: Annotated[list[str], Field(min_length=1, max_length=MOST_GROUPS)] = Field(
        description="Prompt and response, decoded with special tokens."
    )
    prompts: Annotated[list[str], Field(max_length=MOST_GROUPS)]
    labels: Annotated[list[JsonValue], Field(max_length=MOST_GROUPS)] = Field(
        description="The reference text, or a problem as an object or as its JSON text."
    )


class RewardAnswer(BaseModel):
    """OpenRLHF 0.11's remote reward response."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str
    message: str


class ErrorOut(BaseModel):
    """Why a request was refused."""

    code: str
    message: str
    faults: list[Fault] = []
    request_id: str


class ErrorResponse(BaseModel):
    """Every answer with a status from 400, but for 504 with scores."""

    error: ErrorOut


def group_of(row: GroupIn | ItemIn, where: str) -> Group:
    """The group that a client means.

    Raises:
        Refused: The problem is none.
    """
    given = row.responses if isinstance(row, GroupIn) else [row.response]
    return Group(problem_of(row.problem, where), tuple(map(response_of, given)))


def problem_of(row: ProblemIn, where: str) -> Problem:
    """The problem that a client means."""
    messages = ask(row.question) if row.question is not None else tuple(m.model_dump() for m in row.messages or ())
    knobs = row.model_dump(include={"reference", "kind", "options", "language", "metadata"})
    name = row.id or f"p-{digest([*messages, knobs, row.aliases])}"
    try:
        return Problem(name, messages, aliases=tuple(row.aliases), **knobs)
    except MedrlError as error:
        raise Refused(422, "invalid", str(error), where) from None


def response_of(row: str | ResponseIn) -> Response:
    """The response that a client means."""
    if isinstance(row, str):
        return Response(row)
    turns = tuple(turn.model_dump() for turn in row.turns)
    return Response(row.text, turns, row.finish_reason, row.token_count, measured=row.measured)
