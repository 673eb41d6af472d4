"""Objects of the Kubernetes API, piece by piece: what the targets that speak to a cluster have in common."""
