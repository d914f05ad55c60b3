"""The next experiment: designs, what the laws that stand predict of them, and which tells these laws apart."""
