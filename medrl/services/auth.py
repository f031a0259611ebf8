"""Who may ask: bearer tokens, several at a time so that one can be changed for another without a gap.

A token comes as `Authorization: Bearer TOKEN` (RFC 6750), or as the password of `Authorization: Basic` (RFC 7617), for
clients that can only be told an address: `http://any:TOKEN@host:8480/get_reward`. Tokens stand in the environment or in
a file, never in the arguments of a process, which everyone on a machine can read; and no log shows one.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from medrl.errors import DataError, MissingFile

VARIABLE = "MEDRL_SERVICE_TOKENS"
SHORTEST = 16
log = logging.getLogger("medrl.services")


class Tokens:
    """The tokens that are good now. What is compared are digests of equal length, all of them, in constant time."""

    def __init__(self, file: str = "", environment: str | None = None) -> None:
        self._path = Path(file) if file else None
        self._digests: tuple[bytes, ...] = ()
        self._seen: tuple[int, int] | None = None
        if self._path is not None:
            self._read()
        else:
            given = os.environ.get(VARIABLE, "") if environment is None else environment
            self._digests = _digests(re.split(r"[\s,]+", given.strip()) if given.strip() else [], VARIABLE)
            if given and not self._digests:
                raise DataError(f"{VARIABLE} is set and holds no token; unset it, or give it tokens")

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: str) -> bool:
        """Whether the value of an Authorization header carries a good token."""
        self._refresh()
        given = _token_of(authorization)
        if given is None:
            return False
        digest = hashlib.sha256(given).digest()
        found = False
        for good in self._digests:
            found |= hmac.compare_digest(good, digest)
        return found

    def _refresh(self) -> None:
        """Read the file again where it has changed; one that cannot be read leaves the tokens as they were."""
        if self._path is None:
            return
        try:
            if self._stamp(self._path) != self._seen:
                self._read()
        except (OSError, DataError) as error:
            log.error("the tokens are kept as they were: %s", error)

    def _read(self) -> None:
        path = self._path
        assert path is not None
        try:
            self._seen = self._stamp(path)
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MissingFile(f"there is no file {path}, which should hold the service's tokens") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the service's tokens cannot be read: {error}") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise DataError(f"{path} holds tokens and others may read or write it; run: chmod 600 {path}")
        lines = [line.strip() for line in text.splitlines()]
        digests = _digests([line for line in lines if line and not line.startswith("#")], str(path))
        if not digests:
            raise DataError(f"{path} holds no token; write one a line")
        self._digests = digests

    @staticmethod
    def _stamp(path: Path) -> tuple[int, int]:
        found = path.stat()
        return found.st_mtime_ns, found.st_ino


def _digests(tokens: Sequence[str], source: str) -> tuple[bytes, ...]:
    for place, token in enumerate(tokens, 1):
        if len(token) < SHORTEST or not (token.isascii() and token.isprintable()) or any(map(str.isspace, token)):
            raise DataError(
                f"{source}: token {place} is shorter than {SHORTEST} characters, or not printable ASCII without "
                "spaces; make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
    return tuple(hashlib.sha256(token.encode()).digest() for token in tokens)


def _token_of(authorization: str) -> bytes | None:
    scheme, _, rest = authorization.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return rest.encode("latin-1", "replace")
    if scheme.lower() == "basic" and rest:
        try:
            _, colon, password = base64.b64decode(rest, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        return password if colon and password else None
    return None
