"""A version of a report as a file: PDF, CSV, FHIR, COCO. What is signed gives the same bytes for ever."""
