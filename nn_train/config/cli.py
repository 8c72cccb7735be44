"""The command line shared by all jobs: ``--config FILE``, ``--section.field VALUE``, ``--help``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nn_train.config.parse import TOP_FIELDS, field_types, read_config, unknown_field
from nn_train.config.schema import SECTIONS, Config, range_text
from nn_train.errors import EXIT_BAD_REQUEST, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, RequestError, TrainingError


@dataclass(frozen=True)
class Arguments:
    """What was asked for on a command line. ``dry_run``: only say what would be done (a search)."""

    config: Config
    verbose: bool
    dry_run: bool = False


def run_job(description: str, argv: Sequence[str], job: Callable[[Arguments], int], searches: bool = False) -> int:
    """Parse ``argv`` and run ``job``; the exit code of the process. ``searches``: it takes the section search."""
    if any(word in ("--help", "-h") for word in argv):
        print(help_text(description, searches))
        return EXIT_DONE
    return exit_code(lambda: job(parse_arguments(argv, searches)))


def exit_code(action: Callable[[], int]) -> int:
    """Run ``action`` and turn the errors that a user meets into one message and an exit code."""
    try:
        return action()
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_REQUEST
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:  # storage or a cluster that cannot be reached, a folder that cannot be written
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted. {interrupt}".rstrip(), file=sys.stderr)
        return EXIT_INTERRUPTED


def parse_arguments(argv: Sequence[str], searches: bool = False) -> Arguments:
    """Raises RequestError for unknown names, missing values and everything ``read_config`` refuses."""
    file: str | None = None
    flags = {"--verbose": False, **({"--dry_run": False} if searches else {})}
    overrides: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in flags:
            flags[word] = True
            continue
        if not word.startswith("--"):
            raise RequestError(f"{word!r}: unexpected; every setting is written --section.field VALUE")
        name, equals, value = word[2:].partition("=")
        if name != "config" and name not in field_types():
            raise RequestError("--" + unknown_field(name, [*field_types(), "config", "verbose"]))
        if not equals:
            if not words:
                raise RequestError(f"--{name}: the value is missing")
            value = words.pop(0)
        if name.startswith("search.") and not searches:
            raise RequestError(f"--{name}: belongs to python -m jobs.tune")
        if name == "config":
            file = value
        else:
            overrides[name] = value
    config = read_config(file, overrides)
    return Arguments(config=config, verbose=flags["--verbose"], dry_run=flags.get("--dry_run", False))


def help_text(description: str, searches: bool = False) -> str:
    """Every field with its default, unit, range and meaning."""
    lines = [
        description,
        "",
        "  --config FILE              job file (YAML); what it leaves out keeps its default",
        "  --verbose                  show the logs of Ray and TensorFlow",
        *(["  --dry_run                  only say what would be run, and what it would cost"] if searches else []),
        "",
        "Every field of the job file can be given here and wins over the file:",
        "",
    ]
    top = {spec.name: spec for spec in dataclasses.fields(Config)}
    for name in TOP_FIELDS:
        lines += field_help(name, top[name])
    for section, cls in SECTIONS.items():
        if section == "search" and not searches:
            continue
        summary = " ".join((cls.__doc__ or "").split())
        lines += ["", f"{section}: {summary}"]
        for spec in dataclasses.fields(cls):
            lines += field_help(f"{section}.{spec.name}", spec)
    lines += ["", "Exit codes: 0 done; 1 failed while running; 2 the request is wrong; 130 interrupted."]
    return "\n".join(lines)


def field_help(path: str, spec: dataclasses.Field[Any]) -> list[str]:
    """The lines of one field: name and default, then meaning and what is allowed."""
    default = None if spec.default is dataclasses.MISSING else spec.default
    text = "none" if default is None else ",".join(default) if isinstance(default, tuple) else str(default)
    if isinstance(default, bool):
        text = text.lower()
    choices = spec.metadata.get("choices", ())
    notes = [", ".join(choices)] if choices and not spec.metadata.get("entry_point") else []
    notes += [range_text(spec.metadata)] if "minimum" in spec.metadata and range_text(spec.metadata) else []
    meaning = spec.metadata["help"] + (f" ({'; '.join(notes)})" if notes else "")
    return [f"  --{path} {text}", f"        {meaning}"]
