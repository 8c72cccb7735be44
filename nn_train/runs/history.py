"""Which epoch is the best, and when to stop: pure functions of the epochs so far."""

from __future__ import annotations

from typing import Any

History = list[dict[str, Any]]  # a row per epoch, as in metrics.jsonl


def best_epoch(history: History) -> int:
    """The epoch (counted from 1) with the lowest ``val_loss``, the first of equals.

    Without validation it is the last epoch: nothing that was not trained on can tell them apart.
    """
    if "val_loss" not in history[-1]:
        return len(history)
    return min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1


def should_stop(history: History, patience: int | None) -> bool:
    """Whether ``patience`` epochs have passed since the best one."""
    return patience is not None and bool(history) and len(history) - best_epoch(history) >= patience
