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

variable "keep_images" {
  description = "Images of each repository that are kept, the newest ones."
  type        = number

  validation {
    condition     = var.keep_images >= 2 && var.keep_images <= 1000
    error_message = "keep_images is 2 to 1000: the running image and the one before it at least."
  }
}
