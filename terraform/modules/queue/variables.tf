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

variable "subnet_ids" {
  description = "Subnets of the nodes, in different zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids names at least two subnets."
  }
}

variable "security_group_id" {
  description = "The security group of the nodes."
  type        = string

  validation {
    condition     = can(regex("^sg-", var.security_group_id))
    error_message = "security_group_id is the id of a security group, sg-…"
  }
}

variable "node_type" {
  description = "What each node is. A waiting job takes less than 20 KB and a running one less than 1 MB."
  type        = string

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type))
    error_message = "node_type is a node type of ElastiCache, such as cache.t4g.small."
  }
}

variable "nodes" {
  description = "Nodes: one, or a primary and replicas that take over from it."
  type        = number

  validation {
    condition     = contains([1, 2, 3], var.nodes)
    error_message = "nodes is 1, 2 or 3."
  }
}

variable "engine_version" {
  description = "Version of Valkey."
  type        = string

  validation {
    condition     = can(regex("^[89]\\.[0-9]+$", var.engine_version))
    error_message = "engine_version is a version of Valkey with two parts, such as 8.1."
  }
}

variable "password_version" {
  description = "Raise it by one and apply to give every user of the queue a new password; tasks read it when they start."
  type        = number

  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version is a whole number from 1 on."
  }
}

variable "snapshot_days" {
  description = "Days that daily snapshots are kept; 0 makes none. The ledger is the truth: losing the queue loses no work."
  type        = number

  validation {
    condition     = var.snapshot_days >= 0 && var.snapshot_days <= 35
    error_message = "snapshot_days is 0 to 35."
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
