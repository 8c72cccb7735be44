"""The worker: joins the others, then runs the user's script as Python does.

``python script.py ALIVE PORT CHECK SCRIPT|-m MODULE [WORD ...]``: ALIVE is a descriptor that ends with the launcher,
PORT one that holds this worker's port, or -1, CHECK whether to check one step only, 0 or 1. Nothing but the standard
library is imported at the top of this file.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import select
import signal
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

LOST = 75  # exit code of a worker that cannot go on because another is gone; EX_TEMPFAIL of sysexits.h
F_SETSIG = 10  # of Linux' fcntl.h; Python has no name for it


def main(words: Sequence[str]) -> None:
    """Run the script of a command line, and exit as it does."""
    alive, port, check, *script = words
    end_with(int(alive))
    is_module = script[0] == "-m"
    sys.argv[:] = script[is_module:]
    find_modules(os.getcwd() if is_module else os.path.dirname(os.path.realpath(script[0])))
    code, names = told(lambda: (of_module if is_module else of_file)(sys.argv[0]))
    if int(port) >= 0:
        told(lambda: join(int(port), check == "1"))
    sys.argv[0] = names["__file__"] if is_module else script[0]
    sys.modules["__main__"] = types.ModuleType("__main__")
    vars(sys.modules["__main__"]).update(names, __annotations__={})
    told(lambda: exec(code, vars(sys.modules["__main__"])))
    if check == "1":
        sys.exit("error: --check: the script has called no fit, and nothing was compared")


def end_with(alive: int) -> None:
    """Let the kernel end this process, and those that it starts, when the other end of a pipe is closed."""
    os.set_inheritable(alive, False)
    fcntl.fcntl(alive, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(alive, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(alive, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([alive], [], [], 0)[0]:  # it was closed before
        os.killpg(0, signal.SIGKILL)


def find_modules(folder: str) -> None:
    """Import this package from where it is; from then on look modules up as for a script of ``folder``."""
    is_safe = getattr(sys.flags, "safe_path", False)  # then the folder of a script is not looked into
    sys.path[: not is_safe] = [str(Path(__file__).resolve().parents[2])]
    importlib.import_module("nn_train")
    sys.path[:1] = [] if is_safe else [folder]


def of_file(name: str) -> tuple[types.CodeType, dict[str, Any]]:
    """Return what a file does, and the names that Python puts into its module."""
    path = os.path.join(os.getcwd(), name)
    code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    return code, {"__file__": path, "__loader__": SourceFileLoader("__main__", path), "__cached__": None}


def of_module(name: str) -> tuple[types.CodeType, dict[str, Any]]:
    """Return the same of a module, or of a package's ``__main__``."""
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name) if spec is not None else None
    if spec is None or code is None:
        raise SystemExit(f"{sys.executable}: No module named {name}")
    names = {"__file__": spec.origin, "__loader__": spec.loader, "__package__": spec.parent, "__cached__": spec.cached}
    return code, {**names, "__spec__": spec}


def join(port: int, check: bool) -> None:
    """Do what ``nn_train.install`` does, and what else a script on several workers needs."""
    from nn_train.engine.import_tensorflow import set_environment

    os.environ["KERAS_BACKEND"] = "tensorflow"
    set_environment()
    import tensorflow as tf

    from nn_train.engine.fit.calls import install
    from nn_train.run import check as one_step
    from nn_train.run import files

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # a script that does so may not any more
    os.close(port)
    install()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # which TensorFlow takes for a notice
    files.share()
    if check:
        one_step.check_only()
    # The launcher has shared the cores out, and TensorFlow raises where it runs already.
    tf.config.threading.set_intra_op_parallelism_threads = lambda num_threads: None
    tf.config.threading.set_inter_op_parallelism_threads = lambda num_threads: None


def told(action: Callable[[], Any]) -> Any:
    """Do what the script does; exit with its error told as Python does: without frames that are not the script's."""
    try:
        return action()
    except (Exception, KeyboardInterrupt) as error:
        from nn_train.engine.lost_peers import is_lost_peer

        code = show(error)
        sys.exit(LOST if isinstance(error, Exception) and is_lost_peer(error) else code)


def show(error: BaseException) -> int | str | None:
    """Show an error of the script's; return the exit code for it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((__file__, "<frozen ")):
        trace = trace.tb_next
    try:
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    except SystemExit as ended:  # by install(), which knows more of some errors
        return ended.code
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


if __name__ == "__main__":
    main(sys.argv[1:])
