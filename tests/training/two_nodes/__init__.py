"""Tests that share a Ray of two nodes with a worker on each, and a training to which nothing happens."""
