variable "name" {
  description = "What every resource's name begins with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 22 of a-z 0-9 -, beginning with a letter and not ending with -."
  }
}

variable "kms_key_arn" {
  description = "The key that everything here is encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a KMS key."
  }
}

variable "ledger_arn" {
  description = "ARN of the ledger's bucket."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9.-]+$", var.ledger_arn))
    error_message = "ledger_arn is the ARN of a bucket, without a key."
  }
}

variable "models_arn" {
  description = "ARN of the models' bucket."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9.-]+$", var.models_arn))
    error_message = "models_arn is the ARN of a bucket, without a key."
  }
}

variable "document_sources" {
  description = "Where workers may read documents in place, as s3://BUCKET/PREFIX/; {tenant} stands for one path segment."
  type        = list(string)

  validation {
    condition     = alltrue([for source in var.document_sources : can(regex("^s3://[a-z0-9.-]+/([^*]*/)?$", source))])
    error_message = "document_sources are s3://BUCKET/PREFIX/, each ending with / and without a *."
  }
}

variable "repository_arns" {
  description = "ARN of each image's repository: control, worker."
  type        = map(string)

  validation {
    condition     = alltrue([for image in ["control", "worker"] : contains(keys(var.repository_arns), image)])
    error_message = "repository_arns has control and worker."
  }
}

variable "url_secret_arns" {
  description = "The secret with LONGHAUL_REDIS_URL of each task: api, controller, worker."
  type        = map(string)

  validation {
    condition     = alltrue([for task in ["api", "controller", "worker"] : contains(keys(var.url_secret_arns), task)])
    error_message = "url_secret_arns has api, controller and worker."
  }
}

variable "fault_injection" {
  description = "Whether there is a role by which spot interruptions are made on purpose."
  type        = bool

  validation {
    condition     = var.fault_injection != null
    error_message = "fault_injection is true or false."
  }
}
