variable "name" {
  description = "What every resource's name begins with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 22 of a-z 0-9 -, beginning with a letter and not ending with -."
  }
}

variable "kms_key_arn" {
  description = "The key that objects are encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a KMS key."
  }
}

variable "keep_deleted_days" {
  description = "Days that deleted and replaced objects of the ledger can be brought back; 0 keeps none. A worker replaces a checkpoint of some 36 MiB for each job every half minute, and all of them are kept so long."
  type        = number

  validation {
    condition     = var.keep_deleted_days >= 0 && var.keep_deleted_days <= 365 && floor(var.keep_deleted_days) == var.keep_deleted_days
    error_message = "keep_deleted_days is a whole number from 0 to 365."
  }
}
