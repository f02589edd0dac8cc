"""Reports: the differential of a slide, its review, and the versions that people signed."""
