"""What stages remember between parts: where parts are, and what looks wrong about the line."""
