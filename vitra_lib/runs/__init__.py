"""Running the notebooks: strict runner, records of results, anatomy check, cleaning, HTML gallery."""
