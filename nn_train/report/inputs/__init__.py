"""What a report is made of: runs, searches and evaluations, read from their folders."""
