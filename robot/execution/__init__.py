"""From chunks of actions to a steady stream of commands: broker, sources, fixed-rate loop, replay."""
