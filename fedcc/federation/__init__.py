"""Sites and aggregator as Flower apps, the round loop and the simulation."""
