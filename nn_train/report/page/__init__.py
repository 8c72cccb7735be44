"""The page and the model card."""
