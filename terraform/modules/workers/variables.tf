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

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 1 && alltrue([for id in var.subnet_ids : can(regex("^subnet-", id))])
    error_message = "subnet_ids are ids of subnets, subnet-…"
  }
}

variable "security_group_id" {
  description = "The security group of workers and their instances."
  type        = string

  validation {
    condition     = can(regex("^sg-", var.security_group_id))
    error_message = "security_group_id is the id of a security group, sg-…"
  }
}

variable "infrastructure_role_arn" {
  description = "How ECS starts and ends instances."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.infrastructure_role_arn))
    error_message = "infrastructure_role_arn is the ARN of an IAM role."
  }
}

variable "instance_profile_arn" {
  description = "What an instance is started with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:instance-profile/", var.instance_profile_arn))
    error_message = "instance_profile_arn is the ARN of an instance profile."
  }
}

variable "task_role_arn" {
  description = "What the worker may do."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.task_role_arn))
    error_message = "task_role_arn is the ARN of an IAM role."
  }
}

variable "start_role_arn" {
  description = "What ECS may do to start the worker."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.start_role_arn))
    error_message = "start_role_arn is the ARN of an IAM role."
  }
}

variable "image" {
  description = "The worker's image, named by its digest; null before the first push, when there is no task definition yet."
  type        = string
  nullable    = true

  validation {
    condition     = var.image == null || can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image is REPOSITORY@sha256:DIGEST: a tag may mean another image tomorrow."
  }
}

variable "url_secret_arn" {
  description = "The secret with the worker's LONGHAUL_REDIS_URL."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.url_secret_arn))
    error_message = "url_secret_arn is the ARN of a secret."
  }
}

variable "environment" {
  description = "Settings that all processes share, LONGHAUL_*."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.environment) : can(regex("^(LONGHAUL|OTEL|AWS)_[A-Z0-9_]+$", name))])
    error_message = "environment holds LONGHAUL_*, OTEL_* and AWS_* alone."
  }
}

variable "model" {
  description = "The served model: the name that jobs ask for, where its weights are, and how they are held."
  type = object({
    name    = string
    url     = string
    weights = string
  })

  validation {
    condition     = can(regex("^[a-z0-9][a-zA-Z0-9._-]{0,62}$", var.model.name)) && startswith(var.model.url, "s3://")
    error_message = "model.name takes 1 to 63 of A-Z a-z 0-9 . _ -, and model.url is s3://BUCKET/PREFIX."
  }

  validation {
    condition     = contains(["as-stored", "int8", "nf4", "fp8"], var.model.weights)
    error_message = "model.weights is as-stored, int8, nf4 or fp8."
  }
}

variable "slots" {
  description = "Jobs that one worker has in hand at once."
  type        = number

  validation {
    condition     = var.slots >= 1 && var.slots <= 1024 && floor(var.slots) == var.slots
    error_message = "slots is a whole number from 1 to 1024."
  }
}

variable "idle_exit_seconds" {
  description = "Seconds without a job after which a worker ends."
  type        = number

  validation {
    condition     = var.idle_exit_seconds >= 10 && var.idle_exit_seconds <= 3600
    error_message = "idle_exit_seconds is 10 to 3600."
  }
}

variable "scale_in_after_seconds" {
  description = "Seconds without a task after which ECS ends an instance."
  type        = number

  validation {
    condition     = var.scale_in_after_seconds >= 0 && var.scale_in_after_seconds <= 3600
    error_message = "scale_in_after_seconds is 0 to 3600."
  }
}

variable "instances" {
  description = "What a worker runs on: types, and what a task takes of one. cpu in units of 1024 a core, memory_mib, data_gib of disk where the type has none of its own, and the most that spot may cost as a percentage of the on-demand price."
  type = object({
    types                  = list(string)
    cpu                    = number
    memory_mib             = number
    gpu_memory_mib         = number
    data_gib               = number
    max_spot_price_percent = number
  })

  validation {
    condition     = length(var.instances.types) >= 1 && alltrue([for type in var.instances.types : can(regex("^[a-z0-9-]+\\.[a-z0-9*]+$", type))])
    error_message = "instances.types are types or families with a *, such as g6.xlarge or g6e.*."
  }

  validation {
    condition = length(distinct([
      for type in var.instances.types : lookup({
        "g5" = "8.6", "g6" = "8.9", "gr6" = "8.9", "g6e" = "8.9", "p4d" = "8.0", "p4de" = "8.0", "p5" = "9.0", "p5e" = "9.0", "p5en" = "9.0"
      }, split(".", type)[0], split(".", type)[0])
    ])) == 1
    error_message = "instances.types have GPUs of one compute capability, such as g6 and g6e (8.9): a job that was begun on another is refused, since its bits would be others."
  }

  validation {
    condition     = var.instances.cpu >= 1024 && var.instances.memory_mib >= 4096 && var.instances.gpu_memory_mib >= 8000 && var.instances.data_gib >= 30
    error_message = "instances has cpu of at least 1024, memory_mib of 4096, gpu_memory_mib of 8000 and data_gib of 30."
  }

  validation {
    condition     = var.instances.max_spot_price_percent >= 1 && var.instances.max_spot_price_percent <= 100
    error_message = "instances.max_spot_price_percent is 1 to 100."
  }
}
