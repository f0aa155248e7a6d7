"""What is announced over Pub/Sub, and how it gets there."""
