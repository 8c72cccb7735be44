"""What a person is shown of an error in code of their own: its frames, without those of libraries, once."""

from __future__ import annotations

import re
import sysconfig
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from traceback import FrameSummary

from nn_train.config.uris import without_passwords

HERE = str(Path(__file__).parents[1]) + "/"
LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
NOT_OWN = (HERE, *LIBRARIES, "<")  # what files of libraries begin with; "<": of no file
AUTOGRAPH = "__autograph_generated"
OPERATION = "tensorflow.python.framework.errors"  # the module of what operations raise when they run
TRACING = "in user code:\n"  # AutoGraph begins so the text of what a function raises while a graph is made of it
PYTHON = "Traceback (most recent call last):\n"
FRAME = re.compile(r'^ *File "(.+)", line (\d+), in ([^ \n]+).*\n', re.M)
NODE = re.compile(r"\[\[\{*(?:node )?([^{}\]]+)\}*\]\]")
DETECTED = "Detected at node "  # of several the last one
FUNCTION = re.compile(r"\{\{function_node [^}]*\}\} ?")
CODE = re.compile(r"\A(?:[ \t].*\n|\n)+")
BOLD = re.compile(r"\033\[\d*m")


def own_traceback(error: Exception) -> str:
    """The traceback without the frames of libraries, save the last one where it was raised by none of the user's."""
    whole = BOLD.sub("", "".join(traceback.format_exception_only(error)))
    kind, text = type(error).__name__, whole.partition(": ")[2]
    frames = list(traceback.extract_tb(error.__traceback__))
    if text.startswith(TRACING):
        return of_tracing(text, frames)
    if type(error).__module__.startswith(OPERATION) and FRAME.search(text):
        return of_operation(text, kind)
    own = own_frames(frames)
    shown = own if own and own[-1] is frames[-1] else [*own, *frames[-1:]]
    if type(error).__module__.startswith(OPERATION):
        shown, whole = own or frames[-1:], f"{kind}: {FUNCTION.sub('', text)}"
    return written(shown, whole)


def of_tracing(text: str, frames: Sequence[FrameSummary]) -> str:
    """The own traceback of an error in whose text AutoGraph has put frames, some of which Python does not have."""
    inner, rest = frames_in(text)
    known = {(frame.filename, frame.lineno) for frame in inner}
    outer = [frame for frame in own_frames(frames) if (frame.filename, frame.lineno) not in known]
    what = textwrap.dedent(rest.partition("\n\n")[2])  # before that is the code of the last frame
    return written([*outer, *own_frames(inner)] or inner[-1:], re.sub(r"\n\s*\n", "\n", what))


def of_operation(text: str, kind: str) -> str:
    """The own traceback of an operation that failed when a graph was run, from TensorFlow's text.

    Where the operation was Python (``tf.py_function``, ``Dataset.from_generator``), that holds a whole traceback of its
    own; otherwise the calls that made the operation, if it knows them.

    Args:
        text: such as ``Graph execution error: … Detected at node … defined at …``.
        kind: the name of the error's class.
    """
    before, of_python, within = text.rpartition(PYTHON)
    frames, rest = frames_in(within if of_python else text.rpartition(DETECTED)[2])
    what = rest.partition("[[{")[0].rstrip()
    if of_python:  # after the last frame comes its code, indented
        message = CODE.sub("", what) or (before.strip().splitlines() or [kind])[-1]
        return written(own_frames(frames) or frames[-1:], message)
    found = NODE.search(rest)
    operation = f" (operation {found[1]})" if found else ""
    return written(own_frames(frames) or frames[-1:], f"{kind}: {what.strip()}{operation}")


def frames_in(text: str) -> tuple[list[FrameSummary], str]:
    """The frames that a text shows, and what follows the last one's first line."""
    calls = list(FRAME.finditer(text))
    frames = [FrameSummary(file, int(line), name) for file, line, name in (call.groups() for call in calls)]
    return frames, text[calls[-1].end() :] if calls else text


def own_frames(frames: Sequence[FrameSummary]) -> list[FrameSummary]:
    """The frames in files of the user's own."""
    return [frame for frame in frames if not frame.filename.startswith(NOT_OWN) and AUTOGRAPH not in frame.filename]


def written(frames: Sequence[FrameSummary], message: str) -> str:
    """A traceback as Python writes it, without names and passwords in URLs (MLflow repeats that of its server)."""
    head = ["Traceback (of this job's own code):\n", *traceback.format_list(list(frames))] if frames else []
    return without_passwords("".join(head) + message.strip())
