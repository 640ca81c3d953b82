"""Sentence encoders that run inside a site, without any network, and the cache of their vectors."""
