"""Everything that knows a robot; imports vitra_lib, never the reverse."""
