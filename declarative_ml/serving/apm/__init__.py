"""What the service tells Elastic APM, by its official agent, `elastic-apm`. Not loaded when it is off."""
