"""Numbers, times and workers as a person reads them."""

from __future__ import annotations


def numbered(ranks: list[int]) -> str:
    """``worker 1`` or ``workers 0, 1 and 3``."""
    if len(ranks) == 1:
        return f"worker {ranks[0]}"
    return f"workers {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def counted(number: int, noun: str) -> str:
    """``1 worker`` or ``2 workers``."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
