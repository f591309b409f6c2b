variable "name" {
  description = "What every resource's name begins with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 22 of a-z 0-9 -, beginning with a letter and not ending with -."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC: a block of at least /20, of which each zone takes a public and a private sixteenth."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && tonumber(split("/", var.vpc_cidr)[1]) <= 20
    error_message = "vpc_cidr is an IPv4 block of /20 or larger, such as 10.64.0.0/16."
  }
}

variable "availability_zones" {
  description = "Three zones of the region: spot capacity differs from one to the next."
  type        = list(string)

  validation {
    condition     = length(distinct(var.availability_zones)) == 3
    error_message = "availability_zones names three different zones, such as eu-central-1a, eu-central-1b and eu-central-1c."
  }
}

variable "endpoint_zones" {
  description = "Zones in which each interface endpoint has an address: each costs by the hour, and the loss of all of them stops new workers. 0 makes none."
  type        = number

  validation {
    condition     = contains([0, 1, 2, 3], var.endpoint_zones)
    error_message = "endpoint_zones is 0 to 3."
  }
}

variable "worker_internet" {
  description = "Whether workers reach the internet, by a NAT gateway: documents at https:// need it."
  type        = bool

  validation {
    condition     = var.worker_internet != null
    error_message = "worker_internet is true or false."
  }
}

variable "api_ingress_cidrs" {
  description = "Addresses that may reach the API's load balancer."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.api_ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "api_ingress_cidrs are IPv4 blocks, such as 203.0.113.0/24."
  }
}

variable "log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "kms_key_arn" {
  description = "The key that flow logs are encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a KMS key."
  }
}

variable "flow_log_role_arn" {
  description = "The role by which the VPC writes its flow log."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", var.flow_log_role_arn))
    error_message = "flow_log_role_arn is the ARN of an IAM role."
  }
}

variable "bucket_arns" {
  description = "Buckets that the S3 endpoint lets through, beside those that ECR keeps its layers in."
  type        = list(string)

  validation {
    condition     = alltrue([for arn in var.bucket_arns : can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9.-]+$", arn))])
    error_message = "bucket_arns are ARNs of buckets, without a key."
  }
}
