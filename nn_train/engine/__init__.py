"""Training of one model on one data set, in one process of a strategy; what is not finite ends it. No Ray, no files."""
