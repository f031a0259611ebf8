"""Where verifier cards are kept, and how the card of a verifier is found: by its fingerprint.

A card is the report that `medrl card` measures. It lies in `FINGERPRINT.json` of `$MEDRL_CARDS`, or else of the folder
`cards` beside `runs`; medrl's own cards come with it. A fingerprint changes when verdicts may, so a card that is found
by it speaks of this very verifier, and a card of another fingerprint does not.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medrl.errors import DataError
from medrl.files import write_atomic

SHIPPED = Path(__file__).parent / "cards"
FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def default_folder() -> Path:
    """`$MEDRL_CARDS`, or `cards` in the working folder."""
    named = os.environ.get("MEDRL_CARDS", "").strip()
    return Path(named).expanduser() if named else Path("cards")


def save(report: Mapping[str, Any], folder: str | Path | None = None) -> Path:
    """Keep the report of a card, in place of an older one with its fingerprint; returns where it lies now."""
    fingerprint = str(report.get("fingerprint", ""))
    if not FINGERPRINT.fullmatch(fingerprint):
        raise DataError(f"a card with the fingerprint {fingerprint!r} cannot be kept; it has 16 hex digits")
    path = (Path(folder) if folder is not None else default_folder()) / f"{fingerprint}.json"
    write_atomic(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    return path


def find(fingerprint: str, folder: str | Path | None = None) -> dict[str, Any] | None:
    """The card of this very verifier, the user's own before medrl's; None where it was never measured.

    Raises:
        DataError: Its file is no card, or that of another verifier.
    """
    for path in _places(folder):
        file = path / f"{fingerprint}.json"
        if FINGERPRINT.fullmatch(fingerprint) and file.is_file():
            return _read(file)
    return None


def of_verifier(name: str, folder: str | Path | None = None) -> list[dict[str, Any]]:
    """All cards of verifiers called `name`, whatever their knobs and version, the newest first."""
    found = [card for card in _all(folder) if card.get("verifier") == name]
    return sorted(found, key=lambda card: str(card.get("date", "")), reverse=True)


def _places(folder: str | Path | None) -> tuple[Path, Path]:
    return (Path(folder) if folder is not None else default_folder()), SHIPPED


def _all(folder: str | Path | None) -> Iterator[dict[str, Any]]:
    for place in _places(folder):
        for file in sorted(place.glob("*.json")):
            if FINGERPRINT.fullmatch(file.stem):
                yield _read(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a verifier card: {error}; measure it again, or remove it") from error
    if not isinstance(card, dict) or card.get("fingerprint") != file.stem:
        raise DataError(f"{file} is not the card of the fingerprint in its name; measure it again, or remove it")
    return card
