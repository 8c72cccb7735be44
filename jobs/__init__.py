"""What one submits: ``python -m jobs.train`` and its sisters."""
