"""The privacy-utility frontier: sweeps of runs and baselines, their table, figure and tuning."""
