"""One module a step of a job, in the order of the story."""
