"""Seeds of independent streams."""

import hashlib


def stream_seed(*key: int | str) -> int:
    """A seed for torch's generators that depends on every part of the key. 32 bits, hashed: the CPU's generator
    ignores the upper half of a longer seed, so (seed << 32) + epoch would be the same for every `seed`."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")
