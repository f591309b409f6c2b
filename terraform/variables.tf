variable "name" {
  description = "What every resource's name begins with; one deployment a name, account and region."
  type        = string
  default     = "longhaul"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}[a-z0-9]$", var.name))
    error_message = "name takes 3 to 22 of a-z 0-9 -, beginning with a letter and not ending with -."
  }
}

variable "environment" {
  description = "What the deployment is for. Spot interruptions on purpose are refused in production."
  type        = string
  default     = "production"

  validation {
    condition     = contains(["production", "staging", "development"], var.environment)
    error_message = "environment is production, staging or development."
  }
}

# ---- Network

variable "vpc_cidr" {
  description = "Addresses of the VPC: a block of at least /20."
  type        = string
  default     = "10.64.0.0/16"

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
  description = "Zones in which each of the seven interface endpoints has an address; each address costs by the hour. 0 makes none, where worker_internet is the way instead."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.endpoint_zones) || (var.endpoint_zones == 0 && var.worker_internet)
    error_message = "endpoint_zones is 1, 2 or 3, or 0 with worker_internet: workers need a way to AWS."
  }
}

variable "worker_internet" {
  description = "Whether workers reach the internet, by a NAT gateway that costs by the hour: documents at https:// need it."
  type        = bool
  default     = false

  validation {
    condition     = var.worker_internet != null
    error_message = "worker_internet is true or false."
  }
}

# ---- Documents and storage

variable "document_sources" {
  description = "Where tenants may have documents read in place, as s3://BUCKET/PREFIX/ in this region; {tenant} stands for the tenant's name. Workers get the right to read there."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for source in var.document_sources : can(regex("^s3://[a-z0-9.-]+/([^*]*/)?$", source))])
    error_message = "document_sources are s3://BUCKET/PREFIX/, each ending with / and without a *."
  }
}

variable "keep_deleted_days" {
  description = "Days that deleted and replaced objects of the ledger can be brought back; 0 keeps none."
  type        = number
  default     = 0

  validation {
    condition     = var.keep_deleted_days >= 0 && var.keep_deleted_days <= 365 && floor(var.keep_deleted_days) == var.keep_deleted_days
    error_message = "keep_deleted_days is a whole number from 0 to 365."
  }
}

variable "keep_days" {
  description = "Days that things are kept after they were last needed, null for ever: states of ended jobs, ended jobs, documents that were uploaded for jobs."
  type = object({
    states = optional(number)
    jobs   = optional(number)
    inputs = optional(number)
  })
  default = {}

  validation {
    condition     = alltrue([for days in values(var.keep_days) : days == null || try(days >= 1 && days <= 36500 && floor(days) == days, false)])
    error_message = "keep_days are whole numbers from 1 to 36500, or null."
  }
}

# ---- Queue

variable "queue_node_type" {
  description = "What each node of the queue is. A waiting job takes less than 20 KB and a running one less than 1 MB."
  type        = string
  default     = "cache.t4g.small"

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.queue_node_type))
    error_message = "queue_node_type is a node type of ElastiCache, such as cache.t4g.small."
  }
}

variable "queue_nodes" {
  description = "Nodes of the queue: one, or a primary and replicas in other zones that take over from it."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 3], var.queue_nodes)
    error_message = "queue_nodes is 1, 2 or 3."
  }
}

variable "queue_engine_version" {
  description = "Version of Valkey."
  type        = string
  default     = "8.1"

  validation {
    condition     = can(regex("^[89]\\.[0-9]+$", var.queue_engine_version))
    error_message = "queue_engine_version is a version of Valkey with two parts, such as 8.1."
  }
}

variable "queue_password_version" {
  description = "Raise it by one and apply to give every user of the queue a new password."
  type        = number
  default     = 1

  validation {
    condition     = var.queue_password_version >= 1 && floor(var.queue_password_version) == var.queue_password_version
    error_message = "queue_password_version is a whole number from 1 on."
  }
}

# ---- Images

variable "image_digests" {
  description = "Digests of the pushed images, sha256:…; null before the first push, when everything but the tasks is made."
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

# ---- Workers

variable "model" {
  description = "The served model: the name that jobs ask for, which is its folder below models/ in the models' bucket too, and how its weights are held."
  type = object({
    name    = string
    weights = optional(string, "as-stored")
  })

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{0,62}$", var.model.name))
    error_message = "model.name takes 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit."
  }

  validation {
    condition     = contains(["as-stored", "int8", "nf4", "fp8"], var.model.weights)
    error_message = "model.weights is as-stored, int8, nf4 or fp8."
  }
}

variable "worker_slots" {
  description = "Jobs that one worker has in hand at once."
  type        = number
  default     = 16

  validation {
    condition     = var.worker_slots >= 1 && var.worker_slots <= 1024 && floor(var.worker_slots) == var.worker_slots
    error_message = "worker_slots is a whole number from 1 to 1024."
  }
}

variable "worker_limits" {
  description = "What the controller may start: workers at once, and worker-hours a day (UTC) over all of them; beyond these jobs wait."
  type = object({
    workers   = number
    day_hours = number
  })
  default = {
    workers   = 4
    day_hours = 24
  }

  validation {
    condition     = var.worker_limits.workers >= 1 && var.worker_limits.workers <= 1000 && floor(var.worker_limits.workers) == var.worker_limits.workers
    error_message = "worker_limits has workers of 1 to 1000, a whole number: longhaul controller scaling pause is what stops all starts."
  }

  validation {
    condition     = var.worker_limits.day_hours > 0 && var.worker_limits.day_hours <= 1000000
    error_message = "worker_limits has day_hours above 0, of at most 1000000."
  }
}

variable "worker_idle_seconds" {
  description = "Seconds without a job after which a worker ends."
  type        = number
  default     = 180

  validation {
    condition     = var.worker_idle_seconds >= 10 && var.worker_idle_seconds <= 3600
    error_message = "worker_idle_seconds is 10 to 3600."
  }
}

variable "instance_idle_seconds" {
  description = "Seconds after its last task for which ECS keeps an instance, with the model on its disk."
  type        = number
  default     = 60

  validation {
    condition     = var.instance_idle_seconds >= 0 && var.instance_idle_seconds <= 3600 && floor(var.instance_idle_seconds) == var.instance_idle_seconds
    error_message = "instance_idle_seconds is a whole number from 0 to 3600."
  }
}

variable "worker_instances" {
  description = "What a worker runs on: types, and what a task takes of one (cpu in units of 1024 a core). The smallest type must have a little more than that, since the instance keeps some for itself."
  type = object({
    types                  = optional(list(string), ["g6.xlarge", "g6.2xlarge", "g6e.xlarge", "g6e.2xlarge"])
    cpu                    = optional(number, 3072)
    memory_mib             = optional(number, 12288)
    gpu_memory_mib         = optional(number, 22000)
    data_gib               = optional(number, 80)
    max_spot_price_percent = optional(number, 80)
  })
  default = {}

  validation {
    condition     = length(var.worker_instances.types) >= 1 && alltrue([for type in var.worker_instances.types : can(regex("^[a-z0-9-]+\\.[a-z0-9*]+$", type))])
    error_message = "worker_instances.types are types or families with a *, such as g6.xlarge or g6e.*."
  }

  validation {
    condition = length(distinct([
      for type in var.worker_instances.types : lookup({
        "g5" = "8.6", "g6" = "8.9", "gr6" = "8.9", "g6e" = "8.9", "p4d" = "8.0", "p4de" = "8.0", "p5" = "9.0", "p5e" = "9.0", "p5en" = "9.0"
      }, split(".", type)[0], split(".", type)[0])
    ])) == 1
    error_message = "worker_instances.types have GPUs of one compute capability, such as g6 and g6e (8.9): a job that was begun on another is refused, since its bits would be others."
  }

  validation {
    condition     = var.worker_instances.cpu >= 1024 && var.worker_instances.memory_mib >= 4096 && var.worker_instances.gpu_memory_mib >= 8000 && var.worker_instances.data_gib >= 30
    error_message = "worker_instances has cpu of at least 1024, memory_mib of 4096, gpu_memory_mib of 8000 and data_gib of 30."
  }

  validation {
    condition     = alltrue([for part in [var.worker_instances.cpu, var.worker_instances.memory_mib, var.worker_instances.gpu_memory_mib, var.worker_instances.data_gib, var.worker_instances.max_spot_price_percent] : floor(part) == part])
    error_message = "worker_instances has whole numbers."
  }

  validation {
    condition     = var.worker_instances.max_spot_price_percent >= 1 && var.worker_instances.max_spot_price_percent <= 100
    error_message = "worker_instances.max_spot_price_percent is 1 to 100."
  }
}

# ---- API and controller

variable "certificate_arn" {
  description = "The ACM certificate of the API's host name, in this region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate."
  }
}

variable "api_host" {
  description = "The API's host name, which the certificate is for. Its record is yours to make, an alias of the output api_alias."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.api_host))
    error_message = "api_host is a host name, such as longhaul.example.com."
  }
}

variable "api_internal" {
  description = "Whether the API has an address inside the VPC alone."
  type        = bool
  default     = false

  validation {
    condition     = var.api_internal != null
    error_message = "api_internal is true or false."
  }
}

variable "api_ingress_cidrs" {
  description = "Addresses that may reach the API. There is no default: whether all the world may ask is yours to say."
  type        = list(string)

  validation {
    condition     = length(var.api_ingress_cidrs) >= 1 && alltrue([for cidr in var.api_ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "api_ingress_cidrs are IPv4 blocks, such as 203.0.113.0/24."
  }
}

variable "api_tasks" {
  description = "Copies of the API."
  type        = number
  default     = 1

  validation {
    condition     = var.api_tasks >= 0 && var.api_tasks <= 20 && floor(var.api_tasks) == var.api_tasks
    error_message = "api_tasks is a whole number from 0 to 20."
  }
}

variable "controller_mode" {
  description = "How the controller runs. service: one always, and a waiting job is seen within seconds. schedule: one is started every controller_minutes for a look."
  type        = string
  default     = "service"

  validation {
    condition     = contains(["service", "schedule"], var.controller_mode)
    error_message = "controller_mode is service or schedule."
  }
}

variable "controller_minutes" {
  description = "Minutes between two looks of a controller that is started by a schedule. Fargate bills a minute at least: one look a minute costs as much as a service."
  type        = number
  default     = 5

  validation {
    condition     = var.controller_minutes >= 1 && var.controller_minutes <= 60 && floor(var.controller_minutes) == var.controller_minutes
    error_message = "controller_minutes is a whole number from 1 to 60."
  }
}

# ---- What is told

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "alarm_emails" {
  description = "Who is told of alarms and of the budget; each confirms by a mail."
  type        = list(string)

  validation {
    condition     = length(var.alarm_emails) >= 1 && alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alarm_emails are mail addresses, one at least: a budget that nobody hears of is none."
  }
}

variable "queue_age_minutes" {
  description = "Minutes that the line may stand before somebody is told. With controller_mode schedule no less than four times controller_minutes, since what one look finds is no wait yet."
  type        = number
  default     = 30

  validation {
    condition     = var.queue_age_minutes >= 1 && var.queue_age_minutes <= 1440 && floor(var.queue_age_minutes) == var.queue_age_minutes
    error_message = "queue_age_minutes is a whole number from 1 to 1440."
  }
}

variable "monthly_budget_usd" {
  description = "US dollars a month that all of it may cost before somebody is told. It stops nothing: worker_limits does."
  type        = number

  validation {
    condition     = var.monthly_budget_usd >= 1
    error_message = "monthly_budget_usd is at least 1."
  }
}

variable "otlp_endpoint" {
  description = "Where traces and metrics are sent by OTLP over HTTP, such as https://collector.example.com; null for nowhere."
  type        = string
  default     = null
  nullable    = true

  validation {
    condition     = var.otlp_endpoint == null || can(regex("^https://", var.otlp_endpoint))
    error_message = "otlp_endpoint is https://HOST, or null."
  }
}

# ---- Safety

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted. Buckets that hold objects always do."
  type        = bool
  default     = true

  validation {
    condition     = var.deletion_protection != null
    error_message = "deletion_protection is true or false."
  }
}

variable "fault_injection" {
  description = "Whether there is an experiment that interrupts a spot instance; refused in production."
  type        = bool
  default     = false

  validation {
    condition     = !(var.fault_injection && var.environment == "production")
    error_message = "fault_injection is for environments other than production."
  }
}
