"""What things cost, measured; run by hand, not by pytest."""
