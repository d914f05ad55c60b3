"""What a law does where one of its numbers is another: equilibria, cycles, and where they end."""
