terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
    # For google_project_service_identity alone, which the other provider lacks.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 8.0"
    }
  }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

provider "google-beta" {
  project = var.project_id
  region  = var.region
}

locals {
  # The worker puts the same label on each batch: a bill can show both together.
  labels = { batchdrop_deployment = var.name }
}
