# The queue: Valkey on nodes of our own. BullMQ needs noeviction, which serverless caches do not offer; and it needs no
# shards, since all keys of the queue carry one hash tag.

locals {
  # Who speaks with the queue, and the keys that are theirs. Commands are those of BullMQ's scripts and of our own: reads,
  # writes, scripts and transactions. Nothing @dangerous (KEYS, FLUSHALL, CONFIG, …) but INFO, in which BullMQ and
  # `longhaul doctor` read version and eviction policy. A test runs the system as these users.
  commands = "-@all +@read +@write +@connection +@transaction +eval +evalsha +time -@dangerous +info"
  queue    = "~{longhaul}:* ~longhaul:{*}:*"
  access = {
    api        = "on ${local.queue} ~longhaul:api:* ${local.commands}"
    controller = "on ${local.queue} ${local.commands}"
    worker     = "on ${local.queue} ${local.commands}"
  }
}

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "The queue of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-${replace(var.engine_version, ".", "-")}"
  family      = "valkey${split(".", var.engine_version)[0]}"
  description = "The queue of ${var.name}: nothing is evicted"

  # A full queue refuses new jobs, which are durable already and are rung again; an evicted key would lose them silently.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# ---- Passwords. They are made, stored and handed on without standing in a plan or in the state: ephemeral values and
# write-only arguments. The first secret is the one that all others are read from, so an apply that breaks off in between
# is simply gone on with by the next one.

ephemeral "aws_secretsmanager_random_password" "user" {
  for_each = toset(concat(keys(local.access), ["default"]))

  password_length     = 48
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "passwords" {
  name                    = "${var.name}/queue/passwords"
  description             = "Passwords of the queue's users; read by whoever applies this configuration, and by no task"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret_version" "passwords" {
  secret_id = aws_secretsmanager_secret.passwords.id

  secret_string_wo = jsonencode({
    for user, made in ephemeral.aws_secretsmanager_random_password.user : user => made.random_password
  })
  secret_string_wo_version = var.password_version
}

ephemeral "aws_secretsmanager_secret_version" "passwords" {
  secret_id  = aws_secretsmanager_secret_version.passwords.secret_id
  version_id = aws_secretsmanager_secret_version.passwords.version_id
}

locals {
  passwords = jsondecode(ephemeral.aws_secretsmanager_secret_version.passwords.secret_string)
}

resource "aws_elasticache_user" "this" {
  for_each = local.access

  user_id       = "${var.name}-${each.key}"
  user_name     = each.key
  engine        = "valkey"
  access_string = each.value

  passwords_wo         = local.passwords[each.key]
  passwords_wo_version = var.password_version
}

# Whoever names no user is this one, and may do nothing.
resource "aws_elasticache_user" "default" {
  user_id       = "${var.name}-default"
  user_name     = "default"
  engine        = "valkey"
  access_string = "off -@all"

  passwords_wo         = local.passwords["default"]
  passwords_wo_version = var.password_version
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = concat([aws_elasticache_user.default.user_id], [for user in aws_elasticache_user.this : user.user_id])
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/queue"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "The queue of ${var.name}"

  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  parameter_group_name = aws_elasticache_parameter_group.this.name
  port                 = 6379

  num_cache_clusters         = var.nodes
  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [var.security_group_id]
  user_group_ids     = [aws_elasticache_user_group.this.user_group_id]

  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"

  snapshot_retention_limit   = var.snapshot_days
  auto_minor_version_upgrade = true
  apply_immediately          = true

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}

# ---- What each task is given: the whole address, LONGHAUL_REDIS_URL

resource "aws_secretsmanager_secret" "url" {
  for_each = local.access

  name                    = "${var.name}/queue/${each.key}"
  description             = "LONGHAUL_REDIS_URL of the ${each.key}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret_version" "url" {
  for_each = local.access

  secret_id = aws_secretsmanager_secret.url[each.key].id

  secret_string_wo         = "rediss://${each.key}:${local.passwords[each.key]}@${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
  secret_string_wo_version = var.password_version
}
