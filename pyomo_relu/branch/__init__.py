"""Global branch and bound on the networks' inputs."""
