"""Audit log, figures and the report."""
