"""Savings, end to end: controls are drawn, answer alone, and what they cost is held against everything else."""
