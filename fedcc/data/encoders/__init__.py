"""Sentence encoders: text to vectors, with weights that are installed, never downloaded."""
