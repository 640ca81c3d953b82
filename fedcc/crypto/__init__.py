"""Packing, masks, keys, envelopes and homomorphic sums with TenSEAL."""
