"""Run the reward service: listen, serve, and stop so that nothing under way is lost.

SIGTERM or SIGINT: what is under way ends, within `drain` seconds; new requests get 503, and `/readyz` says so, until the
socket closes; then exit status 0. A second signal ends it at once.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from medrl.errors import DataError
from medrl.rewards import Reward
from medrl.services.auth import Tokens
from medrl.services.logs import log_to_stderr
from medrl.services.reward_server import RewardService, create_service
from medrl.services.settings import ServiceSettings

LAME = 0.3  # seconds for which new requests are told to go elsewhere before the socket closes
log = logging.getLogger("medrl.services")


def serve(tree: Reward, settings: ServiceSettings, show: Callable[[str], None]) -> int:
    """Serve a tree until a signal; returns the exit status.

    Raises:
        RecipeError: The tree or the settings are at fault.
        DataError: The tokens cannot be read, or nobody may listen at that address.
        WorkerEnded: No worker could be started.
    """
    log_to_stderr(settings.log_texts)
    service = create_service(tree, settings, Tokens(settings.tokens))
    listener = _listen(settings)
    try:
        return asyncio.run(_serve(service, listener, show))
    finally:
        listener.close()


async def _serve(service: RewardService, listener: socket.socket, show: Callable[[str], None]) -> int:
    settings = service.settings
    server = _Server(
        uvicorn.Config(
            service.app,
            http=_protocol(settings),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(settings.keep_alive) or 1,
            timeout_graceful_shutdown=5,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    starting = asyncio.create_task(service.start())

    def on_signal() -> None:
        if stop.is_set() or not starting.done():
            server.should_exit = server.force_exit = True
            starting.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        host, port = listener.getsockname()[:2]
        show(f"serving at http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            await starting
        except asyncio.CancelledError:
            return 0
        show(f"ready: {service.scorer.ready or 'no'} workers, self-check {service.self_check}")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        show("stopping")
        await _drain(service, server)
        return 0
    finally:
        server.should_exit = True
        await serving
        await service.scorer.close()


async def _drain(service: RewardService, server: uvicorn.Server) -> None:
    """Refuse what is new, and wait for what is under way."""
    app = service.app
    app.stopping = True
    end = asyncio.get_running_loop().time() + service.settings.drain
    await asyncio.sleep(LAME)
    while app.pending and not server.force_exit and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
    if app.pending:
        log.warning("%d requests were still under way and are cut off", app.pending)


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers, which would end the process by the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(settings: ServiceSettings) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise DataError(f"nobody can listen at {settings.host} port {settings.port}: {error}") from error
    return listener


def _protocol(settings: ServiceSettings) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 with a bound on connections, and a clock on headers, which it has for neither."""

    class Clocked(H11Protocol):
        _clock: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > settings.connections:
                transport.abort()
                return
            self._clock = self.loop.call_later(settings.header_timeout, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            reads_headers = self.conn.their_state is h11.IDLE
            if reads_headers and self._clock is None and self.conn.trailing_data[0]:
                self._clock = self.loop.call_later(settings.header_timeout, self.transport.abort)
            elif not reads_headers:
                self._stop_clock()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_clock()
            super().connection_lost(exc)

        def _stop_clock(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

    return Clocked
