"""Where jobs run: one file per place, and commands for this machine and for machines over SSH."""
