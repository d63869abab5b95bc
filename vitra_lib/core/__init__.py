"""Ground floor: errors, files, devices, provenance, assets, safe pickles; imports nothing else of the kit."""
