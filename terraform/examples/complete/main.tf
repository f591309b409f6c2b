# A whole deployment. Copy this folder, change the values, and apply: docs/terraform.md goes through it step by step.

terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.66"
    }
  }

  # The state holds no password, but it says where everything is: keep it in a bucket that few may read.
  #
  # backend "s3" {
  #   bucket       = "example-terraform-state"
  #   key          = "longhaul/terraform.tfstate"
  #   region       = "eu-central-1"
  #   encrypt      = true
  #   use_lockfile = true
  # }
}

provider "aws" {
  region = var.region

  # The tag that the budget counts by and the experiment finds instances by.
  default_tags {
    tags = {
      longhaul    = var.name
      environment = var.environment
    }
  }
}

module "longhaul" {
  source = "../.."

  name        = var.name
  environment = var.environment

  availability_zones = ["${var.region}a", "${var.region}b", "${var.region}c"]
  document_sources   = var.document_sources

  model = {
    name    = "falcon-mamba-7b-instruct"
    weights = "as-stored"
  }

  image_digests = var.image_digests
  worker_slots  = 16
  worker_limits = { workers = 4, day_hours = 24 }
  keep_days     = { states = 30, jobs = 90, inputs = 30 }

  certificate_arn   = var.certificate_arn
  api_host          = var.api_host
  api_ingress_cidrs = var.api_ingress_cidrs

  alarm_emails       = var.alarm_emails
  monthly_budget_usd = 500

  fault_injection = var.environment != "production"
}
