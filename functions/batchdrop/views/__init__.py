"""What people see of jobs and of a deployment: on pages, and on the command line."""
