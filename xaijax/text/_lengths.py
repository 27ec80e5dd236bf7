"""The few lengths and numbers of rows that programs are compiled for."""

_SHORTEST = 8  # tokens of a row
_STEPS = 4  # lengths between one power of two and the next: rows are padded by at most a quarter


def padded_length(length: int) -> int:
    """Returns the length that rows are padded to: 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ..."""
    if length <= _SHORTEST:
        return _SHORTEST
    step = largest_power_of_two(length - 1) // _STEPS
    return -(-length // step) * step


def power_of_two(number: int) -> int:
    """Returns the least power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def largest_power_of_two(number: int) -> int:
    """Returns the largest power of two that is not larger."""
    return 1 << (number.bit_length() - 1)
