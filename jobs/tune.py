"""Search hyperparameters: ``python -m jobs.tune --config jobs/configs/tune_mnist_mlp.yaml --search.num_trials 50``."""

from __future__ import annotations

import sys

from nn_train.config.cli import Arguments, run_job

FLAGS = {"dry_run": "only say what would be run, and what it would cost"}


def main(arguments: Arguments) -> int:
    from nn_train.search import plan, search
    from nn_train.search.progress import Progress

    progress = Progress(arguments.config)
    progress.announce()
    if "dry_run" in arguments.flags:
        print("\n".join(plan(arguments.config, verbose=arguments.verbose)))
        return 0
    progress.finish(search(arguments.config, on_event=progress, verbose=arguments.verbose))
    return 0


if __name__ == "__main__":
    description = "Search the hyperparameters of a Keras model with Ray Tune."
    sys.exit(run_job(description, sys.argv[1:], main, stages=("search",), flags=FLAGS))
