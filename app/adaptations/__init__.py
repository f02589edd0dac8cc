"""Adaptations: how well a project's classifier works on a scanner that is new to it, and what would work better."""
