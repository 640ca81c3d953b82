"""Signed plans: submitted by the admin, decided on by each site, released by a quorum."""
