"""Where results lie: folders on disks and URIs, and who holds them. No TensorFlow here, and no Ray."""
