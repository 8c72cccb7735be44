"""A Keras script as it is, on several workers: ``nn-train run --workers 2 train.py``."""
