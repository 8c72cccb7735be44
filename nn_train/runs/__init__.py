"""One run in one process: what refuses it, its files, checkpoints, callbacks and loggers. No Ray here."""
