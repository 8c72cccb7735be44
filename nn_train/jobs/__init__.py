"""What one runs: ``nn-train train`` and its sisters, and the same as functions of Python."""
