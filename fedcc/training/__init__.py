"""Clipped gradient sums with Opacus, evaluation and checkpoints."""
