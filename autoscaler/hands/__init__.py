"""Hands: what orders machines and ends exactly one of them. Each is one module behind one Protocol."""
