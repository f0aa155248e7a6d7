# Where the state lies is said at init, as it differs for everybody:
#   terraform init -backend-config=bucket=BUCKET
terraform {
  backend "gcs" {
    prefix = "state"
  }
}
