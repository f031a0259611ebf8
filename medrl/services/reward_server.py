"""The reward service: a reward tree behind HTTP, the same scores as in process.

It keeps nothing between requests, so any request may be sent again, and several servers may stand behind one address. A
tree with running state (`stateful`) is refused: two servers, or one that was restarted, would score by different states.
"""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from medrl import __version__
from medrl.errors import RecipeError
from medrl.interop.scoring import alone
from medrl.rewards import Reward
from medrl.rewards.fingerprint import fingerprint
from medrl.services import openrlhf
from medrl.services.auth import Tokens
from medrl.services.framework import ERRORS, bounded_routes, error_handlers, while_connected
from medrl.services.guard import Guard
from medrl.services.lines import ScoredLine
from medrl.services.metrics import CONTENT_TYPE, Metrics
from medrl.services.reading import Refused
from medrl.services.schema import (
    GroupIn,
    HealthOut,
    ItemIn,
    RewardAnswer,
    RewardOut,
    RewardQuery,
    ScoreRequest,
    ScoreResponse,
    StreamGroupIn,
    StreamLineOut,
    group_of,
)
from medrl.services.scorer import make_scorer
from medrl.services.settings import ServiceSettings
from medrl.services.stream import Stream
from medrl.services.worker_process import TreeRaised
from medrl.types import Group

log = logging.getLogger("medrl.services")


class RewardService:
    """What the routes share: the tree, who scores with it, and what is counted."""

    app: Guard

    def __init__(self, tree: Reward, settings: ServiceSettings, tokens: Tokens) -> None:
        faults = [*tree.faults(), *stateful(tree)]
        if faults:
            raise RecipeError("the reward to serve", faults)
        settings.check_exposure(bool(tokens))
        self.tree, self.settings, self.tokens = tree, settings, tokens
        self.fingerprint = fingerprint(tree)
        self.alone = alone(tree)
        self.parts = [node.name for node in tree.walk()]
        self.metrics = Metrics(self.fingerprint)
        self.scorer = make_scorer(tree, settings)
        self.self_check = ""
        scorer = self.scorer
        self.metrics.live(lambda: len(scorer.turns), lambda: scorer.running, lambda: scorer.ready)
        scorer.on_lost = self.metrics.lost.inc

    async def start(self) -> None:
        """Start the workers and ask the tree one question."""
        self.self_check = await self.scorer.start()
        if self.self_check != "ok":
            log.warning("the self-check of the reward gave: %s", self.self_check)

    async def score(self, groups: Sequence[Group], request: Request, step: int, parts: bool) -> list[ScoredLine]:
        """A line for each group; work for a client that has gone is dropped."""
        responses = sum(map(len, groups))
        if responses > self.settings.max_responses:
            raise Refused(
                422, "invalid", f"{responses} responses in one request; at most {self.settings.max_responses}"
            )
        request.state.counts = f"{len(groups)} groups {responses} responses"
        try:
            lines = await while_connected(request, self.scorer.score(groups, step, self.settings.deadline, parts))
        except TreeRaised as error:
            raise Refused(500, "reward_failed", str(error)) from None
        for line in lines:
            self.metrics.scored(line.values, line.parts)
        return lines

    @property
    def ready(self) -> bool:
        """Whether the self-check has run, a worker lives, and nobody has asked for a stop."""
        return bool(self.self_check and self.scorer.ready and not self.app.stopping)


def stateful(tree: Reward) -> list[str]:
    """Why a tree cannot be served: nodes that keep running state say so by `stateful`."""
    return [
        f"{path}: {node.name!r} ({node.kind()}) keeps running state, which a service cannot: every restart, and every "
        "further server, would begin anew; take it out of the tree and apply it where the training runs"
        for path, node in tree.paths()
        if node.stateful
    ]


def create_app(tree: Reward, settings: ServiceSettings | None = None, tokens: Tokens | None = None) -> Guard:
    """The service as an ASGI application; it starts its workers with its lifespan.

    Raises:
        RecipeError: The tree keeps state or is at fault, or the settings would serve strangers.
    """
    settings = settings or ServiceSettings()
    return create_service(tree, settings, tokens if tokens is not None else Tokens(settings.tokens)).app


def create_service(tree: Reward, settings: ServiceSettings, tokens: Tokens) -> RewardService:
    """The service with its application, `service.app`."""
    service = RewardService(tree, settings, tokens)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.scorer.close()

    app = FastAPI(
        title="medrl reward service",
        version=__version__,
        description="Scores of a reward tree. A score without a number is null with a status, never 0.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.router.route_class = bounded_routes(settings)
    _score_routes(app, service)
    _state_routes(app, service)
    error_handlers(app)
    service.app = Guard(app, settings, tokens, service.metrics)
    return service


def _score_routes(app: FastAPI, service: RewardService) -> None:
    @app.post("/v1/score", response_model=ScoreResponse, responses={**ERRORS, 504: {"model": ScoreResponse}})
    async def score(body: ScoreRequest, request: Request) -> Response:
        """What every response of every group is worth, in order. 504 where some have no score in time."""
        rows: Sequence[GroupIn | ItemIn] = body.groups if body.groups is not None else body.items or []
        name = "groups" if body.groups is not None else "items"
        groups = [group_of(row, f"{name}[{place}].problem") for place, row in enumerate(rows)]
        lines = await service.score(groups, request, body.step, body.parts)
        head = json.dumps({"request_id": request.state.id, "fingerprint": service.fingerprint}, separators=(",", ":"))[
            :-1
        ]
        if name == "groups":
            texts = [
                b'{"id":' + json.dumps(group.problem.id).encode() + b',"scores":' + line.text + b"}"
                for group, line in zip(groups, lines, strict=True)
            ]
        else:
            texts = [line.text[1:-1] for line in lines]
        content = head.encode() + f',"{name}":['.encode() + b",".join(texts) + b"]}"
        late = any(line.late for line in lines)
        return Response(content, 504 if late else 200, media_type="application/json")

    lines_of = {"application/x-ndjson": {"schema": StreamLineOut.model_json_schema()}}
    line_in = {"application/x-ndjson": {"schema": StreamGroupIn.model_json_schema()}}

    @app.post(
        "/v1/score/stream",
        response_class=Response,
        responses={**ERRORS, 200: {"content": lines_of, "description": "A line for each group as it is scored."}},
        openapi_extra={"requestBody": {"content": line_in, "required": True}},
    )
    async def stream(request: Request) -> Response:
        """Groups as lines of JSON, each with an `id`; scores come back as lines, in the order in which they are had."""
        return Stream.of(request, service.scorer, service.settings, service.metrics)

    @app.post("/get_reward", response_model=RewardAnswer, responses=ERRORS)
    async def get_reward(body: RewardQuery, request: Request) -> Response:
        """OpenRLHF's remote reward. 503 where a score has no number, unless the setting `missing` says what to send."""
        if service.alone:
            raise Refused(422, "not_for_openrlhf", f"this tree cannot be asked this way: {'; '.join(service.alone)}")
        groups = openrlhf.groups_of(body, service.settings)
        lines = await service.score(groups, request, 0, True)
        scores = [line.scores()[0] for line in lines]
        return JSONResponse(openrlhf.answer_of(scores, service.parts, service.settings.missing))


def _state_routes(app: FastAPI, service: RewardService) -> None:
    @app.get("/v1/reward", response_model=RewardOut, responses={401: ERRORS[401]})
    async def reward() -> RewardOut:
        """The tree: its config, what it looks like, and its fingerprint."""
        tree = service.tree
        return RewardOut(
            fingerprint=service.fingerprint, config=tree.to_config(), description=tree.describe(), version=__version__
        )

    @app.get("/healthz", response_model=HealthOut, response_model_exclude_none=True)
    async def live() -> HealthOut:
        """Whether the process lives and answers."""
        return HealthOut(status="ok")

    @app.get("/readyz", response_model=HealthOut, responses={503: {"model": HealthOut}})
    async def ready() -> Response:
        """Whether it scores: the self-check has run, a worker lives, and no stop was asked for."""
        status = "ok" if service.ready else "stopping" if service.app.stopping else "starting"
        row = {"status": status, "workers": service.scorer.ready, "self_check": service.self_check or "not yet"}
        return JSONResponse(row, 200 if service.ready else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: ERRORS[401]})
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
