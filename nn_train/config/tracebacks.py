"""What a person is shown of an error in code of their own: its frames, without those of libraries."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

from nn_train.config.uris import without_passwords

HERE = str(Path(__file__).parents[1]) + "/"
LIBRARIES = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
NOT_OWN = (HERE, *LIBRARIES, "<")  # what files of libraries begin with; "<": of no file
AUTOGRAPH = "__autograph_generated"
FRAME = re.compile(r'^ *File "(.+)", line \d+, in .*\n(?:(?! *File ")[ \t]+\S.*\n)*', re.M)  # with its code
TWICE = re.compile(r"\b(\w+: .+)\nTraceback \(most recent call last\):\n(?=(?:.*\n)*?\1$)", re.M)  # and behind it again
NOISE = re.compile(r"\033\[\d*m|\{\{function_node [^}]*\}\} ?")  # of TensorFlow's texts


def own_traceback(error: Exception) -> str:
    """The traceback without the frames of libraries, save the last one where it was raised by none of the user's.

    TensorFlow's texts hold frames that Python does not have; of these the user's are left in their place. Names and
    passwords in URLs are not repeated (MLflow does so with that of its server).
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in frames if is_own(frame.filename)]
    shown = own if own and own[-1] is frames[-1] else [*own, *frames[-1:]]
    head = ["Traceback (of this job's own code):\n", *traceback.format_list(shown)] if shown else []
    text = NOISE.sub("", "".join(traceback.format_exception_only(error)))
    text = FRAME.sub(lambda found: found[0] if is_own(found[1]) else "", text)
    text = TWICE.sub("\n", re.sub(r"\n\s*\n", "\n", text))
    return without_passwords("".join(head) + re.sub(r"\n\s*\n", "\n", text).strip())


def is_own(file: str) -> bool:
    """Return whether it is the user's."""
    return not file.startswith(NOT_OWN) and AUTOGRAPH not in file
