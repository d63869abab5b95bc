"""The synthetic world with known truth: scenes, hand motions and a ray-casting renderer, deterministic from a seed."""
