"""Attacks on whole runs, and what each party of a run holds; no part of the protocol."""
