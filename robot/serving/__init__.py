"""A policy server that speaks openpi's websocket protocol, and a client of it that needs no torch."""
