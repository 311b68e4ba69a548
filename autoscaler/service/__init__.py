"""The service: observe, decide, apply, again and again."""
