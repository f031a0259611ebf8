"""The problem in a row of a stream, whose schema is told row by row."""

from medrl.construct.pipeline import Item
from medrl.data.rows import RowFault, pick_schema
from medrl.data.schemas import SCHEMAS, Reading
from medrl.errors import DataError, MedrlError
from medrl.types import Problem


def read_problem(item: Item, schema: str = "auto", name: str = "the source") -> Problem:
    """The problem that a row holds.

    Raises:
        RowFault: It holds none, and why.
    """
    try:
        chosen = pick_schema(name, [item.row], schema, {key: columns for key, (columns, _) in SCHEMAS.items()})
        return SCHEMAS[chosen][1](item.row, item.number, Reading(name))
    except KeyError as error:
        raise RowFault(f"column {error.args[0]!r} is missing") from error
    except DataError as error:
        raise RowFault(str(error)) from error
    except RowFault:
        raise
    except (MedrlError, ValueError, TypeError) as error:
        raise RowFault(str(error)) from error
