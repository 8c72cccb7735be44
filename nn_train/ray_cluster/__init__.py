"""The Ray that jobs run on: joining it, room on it, what its machines share."""
