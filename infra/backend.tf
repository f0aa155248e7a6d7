# The bucket of the state differs per deployment; name it at init:
#   terraform init -backend-config=bucket=BUCKET
terraform {
  backend "gcs" {
    prefix = "state"
  }
}
