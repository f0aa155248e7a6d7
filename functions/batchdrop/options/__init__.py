"""What a deployment, a route, a manifest or an object may choose."""
