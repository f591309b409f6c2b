terraform {
  # 1.11: write-only arguments and ephemeral resources, which keep Redis' passwords out of plan and state.
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.66"
    }
  }
}
