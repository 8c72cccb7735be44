"""What ``python -m benchmarks.gpu_check`` checks, and how."""
