"""Reading, gating, splitting and encoding of data, as one YAML file describes it."""
