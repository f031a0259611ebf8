"""How far two raters agree beyond chance."""

from collections import Counter
from collections.abc import Hashable, Sequence


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa (1960) of two raters' labels of the same items: (agreed - chance) / (1 - chance).

    Chance is the sum over labels of the product of the raters' shares. None without items, and where chance alone agrees
    (both gave one and the same label to all).
    """
    if not pairs:
        return None
    n = len(pairs)
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    agreed, chance = sum(a == b for a, b in pairs) / n, sum(left[label] * right[label] for label in left) / n**2
    return (agreed - chance) / (1 - chance) if chance < 1 else None
