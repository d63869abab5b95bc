"""What the hardware speaks: one protocol, and a driver behind it for each arm, hand and camera, simulated or real."""
