"""Fine-tuning of a policy on demonstrations of a robot, and its trials in simulation."""
