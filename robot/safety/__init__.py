"""The safety layer: pure functions between whatever wants to move the robot and its motors; on by default.

`gate.SafetyGate` is the only maker of `gate.Cleared`, and a driver moves for a `Cleared` alone.
"""
