"""What is learnt: targets and metrics."""
