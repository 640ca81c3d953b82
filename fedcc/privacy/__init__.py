"""Accounting, calibration, noise shares and the ledger."""
