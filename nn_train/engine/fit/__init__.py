"""Keras' own ``fit``, ``evaluate`` and ``predict`` on several workers: their steps are spread, the rest stays."""
