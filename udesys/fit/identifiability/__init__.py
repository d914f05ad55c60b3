"""What data cannot tell of constants and states whatever their noise: null directions, and what they leave."""
