"""The few lengths and numbers of rows that programs are compiled for."""

_SHORTEST = 8  # tokens of a row


def padded_length(length: int, steps: int = 4) -> int:
    """Returns the length that rows are padded to: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ...

    steps: lengths between one power of two and the next. With 4, rows are padded by at most a quarter.
    """
    if length <= _SHORTEST:
        return _SHORTEST
    step = max(1, power_below(length - 1) // steps)
    return -(-length // step) * step


def pieces(count: int, *, most: int | None = None, least: int = 1, base: int = 2) -> list[tuple[int, int]]:
    """Cuts a number into parts, each with the size that it is padded to, a power of `base` from `least` to `most`.

    A part fills at least three quarters of its size, or has the least size. `most` itself may be any number.
    """
    cut: list[tuple[int, int]] = []
    while count:
        size = power_above(max(count, least), base)
        if most is not None and size > most:
            size = most if count >= most else power_below(most, base)
        elif 4 * count < 3 * size and size > least:
            size //= base
        cut.append((min(count, size), size))
        count -= cut[-1][0]
    return cut


def power_above(number: int, base: int = 2) -> int:
    """Returns the least power of `base` that is not smaller."""
    power = 1
    while power < number:
        power *= base
    return power


def power_below(number: int, base: int = 2) -> int:
    """Returns the largest power of `base` that is not larger."""
    power = power_above(number, base)
    return power if power == number else power // base
