"""Models that stay traced between the trials of one process, and when two trials may share one."""
