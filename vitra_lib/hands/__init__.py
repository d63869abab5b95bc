"""The 21-joint skeleton, MANO through smplx, a licence-free stand-in with MANO's layout, and THE mirror rule."""
