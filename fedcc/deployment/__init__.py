"""Files of an installation on premise: keys, certificates, bundles, settings, units and checks."""
