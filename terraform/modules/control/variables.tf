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

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string

  validation {
    condition     = can(regex("^vpc-", var.vpc_id))
    error_message = "vpc_id is the id of a VPC, vpc-…"
  }
}

variable "subnet_ids" {
  description = "Public subnets of the load balancer and of the two tasks, in different zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids names at least two subnets."
  }
}

variable "security_group_ids" {
  description = "The security groups of alb, api and controller."
  type        = map(string)

  validation {
    condition     = alltrue([for part in ["alb", "api", "controller"] : contains(keys(var.security_group_ids), part)])
    error_message = "security_group_ids has alb, api and controller."
  }
}

variable "cluster_arn" {
  description = "The cluster that API and controller run on."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:ecs:", var.cluster_arn))
    error_message = "cluster_arn is the ARN of an ECS cluster."
  }
}

variable "task_role_arns" {
  description = "What each program may do: api, controller."
  type        = map(string)

  validation {
    condition     = alltrue([for task in ["api", "controller"] : contains(keys(var.task_role_arns), task)])
    error_message = "task_role_arns has api and controller."
  }
}

variable "start_role_arns" {
  description = "What ECS may do to start each program: api, controller."
  type        = map(string)

  validation {
    condition     = alltrue([for task in ["api", "controller"] : contains(keys(var.start_role_arns), task)])
    error_message = "start_role_arns has api and controller."
  }
}

variable "scheduler_role_arn" {
  description = "How a controller is started by a schedule."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.scheduler_role_arn))
    error_message = "scheduler_role_arn is the ARN of an IAM role."
  }
}

variable "image" {
  description = "The image of API and controller, named by its digest; null before the first push, when neither runs yet."
  type        = string
  nullable    = true

  validation {
    condition     = var.image == null || can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is REPOSITORY@sha256:DIGEST: a tag may mean another image tomorrow."
  }
}

variable "url_secret_arns" {
  description = "The secret with LONGHAUL_REDIS_URL of each program: api, controller."
  type        = map(string)

  validation {
    condition     = alltrue([for task in ["api", "controller"] : contains(keys(var.url_secret_arns), task)])
    error_message = "url_secret_arns has api and controller."
  }
}

variable "api_environment" {
  description = "Settings of the API."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.api_environment) : can(regex("^(LONGHAUL|OTEL|AWS)_[A-Z0-9_]+$", name))])
    error_message = "api_environment holds LONGHAUL_*, OTEL_* and AWS_* alone."
  }
}

variable "controller_environment" {
  description = "Settings of the controller."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.controller_environment) : can(regex("^(LONGHAUL|OTEL|AWS)_[A-Z0-9_]+$", name))])
    error_message = "controller_environment holds LONGHAUL_*, OTEL_* and AWS_* alone."
  }
}

variable "certificate_arn" {
  description = "The certificate of the API's host name, in this region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate."
  }
}

variable "internal" {
  description = "Whether the API has an address inside the VPC alone."
  type        = bool

  validation {
    condition     = var.internal != null
    error_message = "internal is true or false."
  }
}

variable "api_tasks" {
  description = "Copies of the API."
  type        = number

  validation {
    condition     = var.api_tasks >= 0 && var.api_tasks <= 20
    error_message = "api_tasks is 0 to 20."
  }
}

variable "controller_mode" {
  description = "How the controller runs. service: one always, and a waiting job is seen within seconds. schedule: one is started every controller_minutes for a look, and batches and webhooks do not go on between looks."
  type        = string

  validation {
    condition     = contains(["service", "schedule"], var.controller_mode)
    error_message = "controller_mode is service or schedule."
  }
}

variable "controller_minutes" {
  description = "Minutes between two looks of a controller that is started by a schedule."
  type        = number

  validation {
    condition     = var.controller_minutes >= 1 && var.controller_minutes <= 60 && floor(var.controller_minutes) == var.controller_minutes
    error_message = "controller_minutes is a whole number from 1 to 60."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool

  validation {
    condition     = var.deletion_protection != null
    error_message = "deletion_protection is true or false."
  }
}
