"""The rows of the clinic's tables as typed objects, and how each is read from its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medrl.data.clinic import columns


@dataclass(frozen=True)
class Text:
    """One text in both languages."""

    en: str
    zh: str

    def of(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, kw_only=True)
class Named:
    """A concept: its name, other names for it in both languages, and where its facts come from."""

    id: str
    name: Text
    synonyms_en: tuple[str, ...] = ()
    synonyms_zh: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def forms(self, language: str) -> tuple[str, ...]:
        """Name and synonyms in one language, the name first."""
        return (self.name.of(language), *(self.synonyms_zh if language == "zh" else self.synonyms_en))

    def aliases(self, language: str) -> tuple[str, ...]:
        """Every other way to say it, in both languages, where `language` is that of the name given as reference."""
        other = "en" if language == "zh" else "zh"
        return tuple(dict.fromkeys((*self.forms(language)[1:], *self.forms(other))))


@dataclass(frozen=True, kw_only=True)
class Finding(Named):
    """What a patient reports or an examination shows; `kind` is e.g. symptom, sign or result."""

    kind: str


@dataclass(frozen=True, kw_only=True)
class Disease(Named):
    """A disease; `findings` stand most characteristic first, `excludes` are findings that speak against it."""

    icd10: str
    department: str
    acuity: str
    findings: tuple[str, ...]
    excludes: tuple[str, ...]
    tests: tuple[str, ...]
    first_line: tuple[str, ...]
    red_flags: tuple[Text, ...]
    red_flags_source: str


@dataclass(frozen=True)
class Amount:
    """A number with its unit."""

    amount: float
    unit: str


@dataclass(frozen=True)
class Dose:
    """One typical dose: `amount` `unit` per `per` (e.g. dose, kg), so often, by this route."""

    indication: Text
    population: str
    amount: float
    unit: str
    per: str
    frequency: Text
    route: Text


@dataclass(frozen=True, kw_only=True)
class Drug(Named):
    """A drug with its class, antidote, contraindications and one dose."""

    class_name: Text
    class_id: str
    antidote: Text | None
    contraindications: tuple[Text, ...]
    dose: Dose
    max_daily: Amount | None
    contraindications_source: str
    dose_source: str


@dataclass(frozen=True, kw_only=True)
class Lab(Named):
    """A laboratory value with its adult reference range; value in `si_unit` = value in `unit` * `si_factor`."""

    specimen: str
    unit: str
    low: float | None
    high: float | None
    si_unit: str | None
    si_factor: float | None
    molar_mass: float | None
    population: str
    high_name: Text | None
    low_name: Text | None


def _text(row: Mapping[str, Any], column: str) -> Text:
    return Text(*columns.pair(row, column))


def _optional_text(row: Mapping[str, Any], column: str) -> Text | None:
    return None if row.get(column) is None else _text(row, column)


def _source(row: Mapping[str, Any], fact: str) -> str:
    """Where one fact of a row comes from; the row's other sources where it names none for it."""
    found = row.get("sources")
    own = found.get(fact) if isinstance(found, Mapping) else None
    return own if isinstance(own, str) else "; ".join(dict.fromkeys(columns.sources(row)))


def _base(row: Mapping[str, Any]) -> dict[str, Any]:
    english, chinese = columns.synonyms(row)
    return {
        "id": columns.text(row, "id"),
        "name": _text(row, "name"),
        "synonyms_en": english,
        "synonyms_zh": chinese,
        "sources": columns.sources(row),
    }


def read_named(row: Mapping[str, Any]) -> Named:
    return Named(**_base(row))


def read_finding(row: Mapping[str, Any]) -> Finding:
    return Finding(**_base(row), kind=columns.text(row, "kind"))


def read_disease(row: Mapping[str, Any]) -> Disease:
    columns.unreviewed(row)
    return Disease(
        **_base(row),
        icd10=columns.text(row, "icd10"),
        department=columns.text(row, "department"),
        acuity=columns.text(row, "acuity"),
        findings=columns.texts(row, "findings", at_least=4),
        excludes=columns.texts(row, "excludes"),
        tests=columns.texts(row, "tests", at_least=1),
        first_line=columns.texts(row, "first_line", at_least=1),
        red_flags=tuple(_text({"red_flags": flag}, "red_flags") for flag in columns.items(row, "red_flags")),
        red_flags_source=_source(row, "red_flags"),
    )


def read_drug(row: Mapping[str, Any]) -> Drug:
    columns.unreviewed(row)
    dose, limit = columns.mapping(row, "dose"), row.get("max_daily")
    return Drug(
        **_base(row),
        class_name=_text(row, "class"),
        class_id=columns.text(row, "class_id"),
        antidote=_optional_text(row, "antidote"),
        contraindications=tuple(
            _text({"contraindications": c}, "contraindications") for c in columns.items(row, "contraindications")
        ),
        dose=Dose(
            indication=_text(dose, "indication"),
            population=columns.text(dose, "population"),
            amount=columns.number(dose, "amount"),
            unit=columns.text(dose, "unit"),
            per=columns.text(dose, "per"),
            frequency=_text(dose, "frequency"),
            route=_text(dose, "route"),
        ),
        max_daily=None if limit is None else Amount(columns.number(limit, "amount"), columns.text(limit, "unit")),
        contraindications_source=_source(row, "contraindications"),
        dose_source=_source(row, "dose"),
    )


def read_lab(row: Mapping[str, Any]) -> Lab:
    columns.unreviewed(row)
    return Lab(
        **_base(row),
        specimen=columns.words(row, "specimen"),
        unit=columns.text(row, "unit"),
        low=columns.optional_number(row, "low"),
        high=columns.optional_number(row, "high"),
        si_unit=columns.optional_text(row, "si_unit"),
        si_factor=columns.optional_number(row, "si_factor"),
        molar_mass=columns.optional_number(row, "molar_mass"),
        population=columns.words(row, "population"),
        high_name=_optional_text(row, "high_name"),
        low_name=_optional_text(row, "low_name"),
    )
