# longhaul on AWS. docs/terraform.md has the steps and a picture, docs/iam.md the table of who may do what.
#
#   people ──▶ control (API, controller) ──▶ queue ◀── workers ──▶ storage
#                    └── starts workers while something waits ──┘

data "aws_region" "current" {}

locals {
  shared_environment = merge(
    {
      LONGHAUL_STORE           = "s3://${module.storage.ledger_bucket}"
      LONGHAUL_S3_REGION       = data.aws_region.current.region
      LONGHAUL_METRICS_ADDRESS = "0.0.0.0:9464"
    },
    var.otlp_endpoint == null ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint },
  )

  # Unset means https:// to the API, which workers without a way to the internet could not read: a name that never resolves.
  sources     = concat(var.document_sources, var.worker_internet ? ["https://"] : [])
  api_sources = length(local.sources) > 0 ? join(" ", local.sources) : "https://none.invalid/"

  keep_environment = {
    for name, days in {
      LONGHAUL_KEEP_STATE_DAYS = var.keep_days.states
      LONGHAUL_KEEP_JOB_DAYS   = var.keep_days.jobs
      LONGHAUL_KEEP_INPUT_DAYS = var.keep_days.inputs
    } : name => tostring(days) if days != null
  }

  images = {
    for image, digest in { control = var.image_digests.control, worker = var.image_digests.worker } :
    image => digest == null ? null : "${module.registry.repository_urls[image]}@${digest}"
  }

  source_bucket_arns = [
    for bucket in distinct([for source in var.document_sources : split("/", trimprefix(source, "s3://"))[0]]) :
    "arn:${data.aws_partition.current.partition}:s3:::${bucket}"
  ]
}

data "aws_partition" "current" {}

module "keys" {
  source = "./modules/keys"

  name = var.name
}

module "storage" {
  source = "./modules/storage"

  name              = var.name
  kms_key_arn       = module.keys.key_arn
  keep_deleted_days = var.keep_deleted_days
}

module "registry" {
  source = "./modules/registry"

  name        = var.name
  kms_key_arn = module.keys.key_arn
  keep_images = 20
}

module "identity" {
  source = "./modules/identity"

  name             = var.name
  kms_key_arn      = module.keys.key_arn
  ledger_arn       = module.storage.ledger_arn
  models_arn       = module.storage.models_arn
  document_sources = var.document_sources
  repository_arns  = module.registry.repository_arns
  url_secret_arns  = module.queue.url_secret_arns
  fault_injection  = var.fault_injection
}

module "network" {
  source = "./modules/network"

  name               = var.name
  vpc_cidr           = var.vpc_cidr
  availability_zones = var.availability_zones
  endpoint_zones     = var.endpoint_zones
  worker_internet    = var.worker_internet
  api_ingress_cidrs  = var.api_ingress_cidrs
  log_retention_days = var.log_retention_days
  kms_key_arn        = module.keys.key_arn
  flow_log_role_arn  = module.identity.flow_log_role_arn
  bucket_arns        = concat([module.storage.ledger_arn, module.storage.models_arn], local.source_bucket_arns)
}

module "queue" {
  source = "./modules/queue"

  name               = var.name
  kms_key_arn        = module.keys.key_arn
  subnet_ids         = module.network.private_subnet_ids
  security_group_id  = module.network.security_group_ids["redis"]
  node_type          = var.queue_node_type
  nodes              = var.queue_nodes
  engine_version     = var.queue_engine_version
  password_version   = var.queue_password_version
  snapshot_days      = 1
  log_retention_days = var.log_retention_days
}

module "workers" {
  source = "./modules/workers"

  name                    = var.name
  kms_key_arn             = module.keys.key_arn
  log_retention_days      = var.log_retention_days
  subnet_ids              = module.network.private_subnet_ids
  security_group_id       = module.network.security_group_ids["worker"]
  infrastructure_role_arn = module.identity.infrastructure_role_arn
  instance_profile_arn    = module.identity.instance_profile_arn
  task_role_arn           = module.identity.task_role_arns["worker"]
  start_role_arn          = module.identity.start_role_arns["worker"]
  image                   = local.images["worker"]
  url_secret_arn          = module.queue.url_secret_arns["worker"]
  environment             = local.shared_environment
  slots                   = var.worker_slots
  idle_exit_seconds       = var.worker_idle_seconds
  scale_in_after_seconds  = var.instance_idle_seconds
  instances               = var.worker_instances

  model = {
    name    = var.model.name
    url     = "s3://${module.storage.models_bucket}/models/${var.model.name}"
    weights = var.model.weights
  }
}

module "control" {
  source = "./modules/control"

  name                = var.name
  kms_key_arn         = module.keys.key_arn
  log_retention_days  = var.log_retention_days
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.public_subnet_ids
  security_group_ids  = module.network.security_group_ids
  cluster_arn         = module.workers.cluster_arn
  task_role_arns      = module.identity.task_role_arns
  start_role_arns     = module.identity.start_role_arns
  scheduler_role_arn  = module.identity.scheduler_role_arn
  image               = local.images["control"]
  url_secret_arns     = module.queue.url_secret_arns
  certificate_arn     = var.certificate_arn
  internal            = var.api_internal
  api_tasks           = var.api_tasks
  controller_mode     = var.controller_mode
  controller_minutes  = var.controller_minutes
  deletion_protection = var.deletion_protection

  api_environment = merge(local.shared_environment, {
    LONGHAUL_MODELS      = var.model.name
    LONGHAUL_API_SOURCES = local.api_sources
  })

  controller_environment = merge(local.shared_environment, local.keep_environment, {
    LONGHAUL_MODELS                 = var.model.name
    LONGHAUL_SCALE_PLATFORM         = "ecs"
    LONGHAUL_SCALE_SLOTS            = tostring(var.worker_slots)
    LONGHAUL_SCALE_MAX_WORKERS      = tostring(var.worker_limits.workers)
    LONGHAUL_SCALE_MAX_WORKER_HOURS = tostring(var.worker_limits.day_hours)
    LONGHAUL_ECS_CLUSTER            = module.workers.cluster_name
    LONGHAUL_ECS_TASK_DEFINITION    = module.workers.task_family
    LONGHAUL_ECS_SPOT_PROVIDER      = module.workers.capacity_providers["spot"]
    LONGHAUL_ECS_ONDEMAND_PROVIDER  = module.workers.capacity_providers["ondemand"]
    LONGHAUL_ECS_SUBNETS            = join(",", module.network.private_subnet_ids)
    LONGHAUL_ECS_SECURITY_GROUPS    = module.network.security_group_ids["worker"]
  })
}

module "observability" {
  source = "./modules/observability"

  name               = var.name
  kms_key_arn        = module.keys.key_arn
  log_retention_days = var.log_retention_days
  cluster_arn        = module.workers.cluster_arn
  log_groups         = { controller = module.control.log_groups["controller"], worker = module.workers.log_group }
  queue_nodes        = module.queue.node_ids
  load_balancer      = module.control.load_balancer
  target_group       = module.control.target_group
  controller_running = var.image_digests.control != null
  controller_minutes = var.controller_mode == "schedule" ? var.controller_minutes : 0
  queue_age_minutes  = var.queue_age_minutes
  alarm_emails       = var.alarm_emails
  monthly_budget_usd = var.monthly_budget_usd
  fault_injection    = var.fault_injection
  fault_role_arn     = module.identity.fault_role_arn
}
