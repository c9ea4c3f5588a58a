"""A separate process that stops the robot when the loop cannot."""
