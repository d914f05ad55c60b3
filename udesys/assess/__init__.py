"""How sure: covariance of the constants and what can be told apart."""
