"""Decisions: a Snapshot and a Policy in, a ScalePlan out."""
