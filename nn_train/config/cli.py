"""The command line shared by all jobs: ``--config FILE``, ``--section.field VALUE``, ``--help``."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nn_train.config.options import is_argument, range_text
from nn_train.config.parse import (
    STAGES,
    TOP_FIELDS,
    field_types,
    from_text,
    presets,
    read_config,
    type_of,
    unknown_field,
)
from nn_train.config.schema import SECTIONS, Config
from nn_train.errors import EXIT_BAD_REQUEST, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, RequestError, TrainingError

JOBS = {"search": "tune", "pipeline": "pipeline"}  # whose sections they are
NO_FLAGS: Mapping[str, str] = {}
LONGEST = 2000  # letters of a message
VERBOSE = {"verbose": "show the logs of Ray and TensorFlow"}
QUIET = {"quiet": "print warnings and where the results are, nothing else"}


@dataclass(frozen=True)
class Arguments:
    """What was asked for on a command line.

    Attributes:
        config: the job.
        flags: those that were given, as ``dry_run`` for ``--dry-run``.
        overrides: ``section.field`` to its value, as text where the field has a type; ``config`` holds them already.
    """

    config: Config
    flags: frozenset[str] = frozenset()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verbose(self) -> bool:
        """Whether to let the logs of Ray and TensorFlow through."""
        return "verbose" in self.flags

    @property
    def quiet(self) -> bool:
        """Whether to print only warnings and where the results are."""
        return "quiet" in self.flags


def run_job(
    description: str,
    argv: Sequence[str],
    job: Callable[[Arguments], int],
    stages: Sequence[str] = (),
    flags: Mapping[str, str] = NO_FLAGS,
) -> int:
    """Parse ``argv`` and run ``job``; the exit code of the process.

    Args:
        stages: which of the sections ``search`` and ``pipeline`` the job takes.
        flags: words without a value that it takes besides ``--verbose``, and what they mean.
    """
    if any(word in ("--help", "-h") for word in argv):
        print(help_text(description, stages, flags))
        return EXIT_DONE
    return exit_code(lambda: job(parse_arguments(argv, stages, flags)))


def exit_code(action: Callable[[], int]) -> int:
    """Run ``action`` and turn the errors that a user meets into one message and an exit code."""
    atexit.register(gc.freeze)  # else Python looks for garbage in all that was imported once more: 0.5 s
    try:
        return action()
    except RequestError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return EXIT_BAD_REQUEST
    except (TrainingError, OSError) as error:  # OSError: storage or a cluster that cannot be reached or written
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted. {interrupt}".rstrip(), file=sys.stderr)
        return EXIT_INTERRUPTED


def command_of(job: str) -> str:
    """How a job is started: ``python -m jobs.tune`` where this process was started so, else ``nn-train tune``."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m jobs.{job}" if spec is not None and spec.name.startswith("jobs.") else f"nn-train {job}"


def how_to_start(job: str, file: str) -> str:
    """The command that does a job with a job file; the call, where this process was started by no command of ours."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    by_command = os.path.basename(sys.argv[0]) == "nn-train" or (spec is not None and "jobs" in spec.name.split("."))
    return f"{command_of(job)} --config {file}" if by_command else f"nn_train.{job}({file!r})"


def one_line(message: str) -> str:
    """A message that repeats what was given: without what a terminal would obey, and not longer than one reads."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} … {shown[-LONGEST // 2 :]}"


def parse_arguments(argv: Sequence[str], stages: Sequence[str] = (), flags: Mapping[str, str] = NO_FLAGS) -> Arguments:
    """Raises RequestError for unknown names, missing values and everything ``read_config`` refuses."""
    file: str | None = None
    known, given = {**VERBOSE, **flags}, set()
    overrides: dict[str, Any] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if word.startswith("--") and word[2:].replace("-", "_") in known:
            given.add(word[2:].replace("-", "_"))
            continue
        if not word.startswith("--"):
            file_too = f", a job file --config {word}" if word.endswith((".yaml", ".yml")) else ""
            raise RequestError(f"{word!r}: unexpected; every setting is written --section.field VALUE{file_too}")
        name, equals, value = word[2:].partition("=")
        if type_of(name.replace("-", "_")) is not None:
            name = name.replace("-", "_")
        if name != "config" and type_of(name) is None:
            raise RequestError("--" + unknown_field(name, [*field_types(), "config", *known]))
        if not equals:
            if not words:
                raise RequestError(f"--{name}: the value is missing")
            value = words.pop(0)
        section = name.partition(".")[0]
        if section in STAGES and section not in stages:
            raise RequestError(f"--{name}: belongs to {command_of(JOBS[section])}")
        if name == "config":
            file = value
        else:
            overrides[name] = from_text(value) if is_argument(name) else value
    config = read_config(file, overrides)
    if config.search.space and not stages:
        raise RequestError(f"--config {file}: has a section search, which belongs to {command_of('tune')}")
    if config.pipeline.models and "pipeline" not in stages:
        raise RequestError(f"--config {file}: has a section pipeline, which belongs to {command_of('pipeline')}")
    return Arguments(config=config, flags=frozenset(given), overrides=overrides)


def help_text(description: str, stages: Sequence[str] = (), flags: Mapping[str, str] = NO_FLAGS) -> str:
    """Every field with its default, unit, range and meaning."""
    lines = [
        description,
        "",
        "  --config FILE              job file (YAML), or a preset's name; what it leaves out keeps its default",
        f"{'':29}presets: {', '.join(presets())}",
        *(f"  --{name.replace('_', '-'):<25}{meaning}" for name, meaning in {**VERBOSE, **flags}.items()),
        "",
        "Every field of the job file can be given here and wins over the file; dashes may stand for its underscores:",
        "",
    ]
    top = {spec.name: spec for spec in dataclasses.fields(Config)}
    for name in TOP_FIELDS:
        lines += field_help(name, top[name])
    for section, cls in SECTIONS.items():
        if section in STAGES and section not in stages:
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
    text = "none" if default is None else ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    if isinstance(default, bool):
        text = text.lower()
    choices = spec.metadata.get("choices", ())
    notes = [", ".join(choices)] if choices and not spec.metadata.get("entry_point") else []
    notes += [range_text(spec.metadata)] if "minimum" in spec.metadata and range_text(spec.metadata) else []
    meaning = spec.metadata["help"] + (f" ({'; '.join(notes)})" if notes else "")
    return [f"  --{path} {text}", f"        {meaning}"]
