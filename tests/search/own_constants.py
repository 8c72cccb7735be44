"""A module of a user's beside the one with the model."""

SCALE = 0.8
