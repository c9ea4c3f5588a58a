"""What is learned: environments, their scripted experts and the `TaskSpec` of each. numpy and gymnasium, no torch."""
