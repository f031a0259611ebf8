"""Seeds as hashes of what they are for, so that no draw depends on the order or number of draws before it."""

from hashlib import blake2b


def seed_of(*purpose: str | int) -> int:
    """A seed in [0, 2^63) from what it is for, e.g. `seed_of(run_seed, "train", step, problem_id, attempt, index, turn)`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in purpose)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1
