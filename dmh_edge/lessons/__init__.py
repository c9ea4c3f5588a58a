"""What a policy learns from: learning histories of a data set, or its own steps with a teacher's advice."""
