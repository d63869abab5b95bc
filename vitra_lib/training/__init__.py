"""Training: parameter groups, schedules, the loop with exact resume, pre-flight checks (paper section 3.3)."""
