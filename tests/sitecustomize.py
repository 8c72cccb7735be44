"""Read by every Python that the tests start: notes workers of Ray, and processes that import TensorFlow (tiers.py)."""

import os
import sys


class Finder:
    """Finds nothing; sees TensorFlow being looked for."""

    seen = False

    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow" and not self.seen:
            self.seen = True
            note("tensorflow")


def note(what):
    with open(os.environ["NN_TRAIN_TESTS_STARTS"], "a") as file:
        file.write(f"{what}\n")


if "NN_TRAIN_TESTS_STARTS" in os.environ:
    sys.meta_path.insert(0, Finder())
    if any(word.endswith("default_worker.py") for word in sys.orig_argv):
        note("ray worker")
