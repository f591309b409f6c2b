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

variable "cluster_arn" {
  description = "The cluster whose tasks are watched."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:ecs:", var.cluster_arn))
    error_message = "cluster_arn is the ARN of an ECS cluster."
  }
}

variable "log_groups" {
  description = "Where the programs log: controller, worker."
  type        = map(string)

  validation {
    condition     = alltrue([for program in ["controller", "worker"] : contains(keys(var.log_groups), program)])
    error_message = "log_groups has controller and worker."
  }
}

variable "queue_nodes" {
  description = "Ids of the queue's nodes."
  type        = list(string)

  validation {
    condition     = length(var.queue_nodes) >= 1
    error_message = "queue_nodes names at least one node."
  }
}

variable "load_balancer" {
  description = "The API's load balancer, as metrics name it."
  type        = string

  validation {
    condition     = startswith(var.load_balancer, "app/")
    error_message = "load_balancer is app/NAME/ID."
  }
}

variable "target_group" {
  description = "The API's targets, as metrics name them."
  type        = string

  validation {
    condition     = startswith(var.target_group, "targetgroup/")
    error_message = "target_group is targetgroup/NAME/ID."
  }
}

variable "controller_running" {
  description = "Whether there is a controller that could fall silent: not before the first image."
  type        = bool

  validation {
    condition     = var.controller_running != null
    error_message = "controller_running is true or false."
  }
}

variable "controller_minutes" {
  description = "Minutes between two looks of the controller; 0 for one that runs always."
  type        = number

  validation {
    condition     = var.controller_minutes >= 0 && var.controller_minutes <= 60
    error_message = "controller_minutes is 0 to 60."
  }
}

variable "queue_age_minutes" {
  description = "Minutes that a job may wait before somebody is told."
  type        = number

  validation {
    condition     = var.queue_age_minutes >= 1 && var.queue_age_minutes <= 1440
    error_message = "queue_age_minutes is 1 to 1440."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms and of the budget; each confirms by a mail."
  type        = list(string)

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alarm_emails are mail addresses."
  }
}

variable "monthly_budget_usd" {
  description = "US dollars a month that all of it may cost; told at 50, 80 and 100 percent, and where a forecast passes it."
  type        = number

  validation {
    condition     = var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd is at least 1."
  }
}

variable "fault_injection" {
  description = "Whether there is an experiment that interrupts a spot instance."
  type        = bool

  validation {
    condition     = var.fault_injection != null
    error_message = "fault_injection is true or false."
  }
}

variable "fault_role_arn" {
  description = "How spot interruptions are made on purpose; null where they are not."
  type        = string
  nullable    = true

  validation {
    condition     = var.fault_role_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.fault_role_arn))
    error_message = "fault_role_arn is the ARN of an IAM role, or null."
  }
}
