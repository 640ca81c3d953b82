"""An aggregator and a site on premise: their processes, started and supervised for months."""
