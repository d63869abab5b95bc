"""The policy: PaliGemma-2 backbone, causal diffusion transformer, sampling, loss, checkpoints (paper section 3.2)."""
