"""The rig in MuJoCo: arm, hand, table, things and head camera; tasks, scripted experts, a Gymnasium environment."""
