variable "name" {
  description = "What every resource's name begins with."
  type        = string
  default     = "longhaul"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 22 of a-z 0-9 -, beginning with a letter and not ending with -."
  }
}

variable "environment" {
  description = "What the deployment is for."
  type        = string
  default     = "staging"

  validation {
    condition     = contains(["production", "staging", "development"], var.environment)
    error_message = "environment is production, staging or development."
  }
}

variable "region" {
  description = "The region; one that has the instance types of workers."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is a region's name, such as eu-central-1."
  }
}

variable "document_sources" {
  description = "Where tenants may have documents read in place, as s3://BUCKET/PREFIX/."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for source in var.document_sources : startswith(source, "s3://")])
    error_message = "document_sources are s3://BUCKET/PREFIX/."
  }
}

variable "image_digests" {
  description = "Digests of the pushed images; left out in the first apply."
  type = object({
    control = optional(string)
    worker  = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for digest in values(var.image_digests) : digest == null || can(regex("^sha256:[0-9a-f]{64}$", digest))])
    error_message = "image_digests are sha256: and 64 hexadecimal digits, or null."
  }
}

variable "certificate_arn" {
  description = "The ACM certificate of the API's host name, in this region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate."
  }
}

variable "api_host" {
  description = "The API's host name."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.api_host))
    error_message = "api_host is a host name, such as longhaul.example.com."
  }
}

variable "api_ingress_cidrs" {
  description = "Addresses that may reach the API."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.api_ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "api_ingress_cidrs are IPv4 blocks, such as 203.0.113.0/24."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms and of the budget."
  type        = list(string)

  validation {
    condition     = length(var.alarm_emails) >= 1
    error_message = "alarm_emails names somebody."
  }
}
