# Workers run to drain: the controller starts tasks, one by one, and each ends by itself after a while without a job. There
# is no service, so nothing ever scales a busy worker in; and no instance is paid for where no task runs.

data "aws_region" "current" {}

locals {
  task = "${var.name}-worker"

  environment = merge(var.environment, {
    LONGHAUL_MODEL             = var.model.url
    LONGHAUL_MODEL_NAME        = var.model.name
    LONGHAUL_MODEL_CACHE       = "/var/lib/longhaul/models"
    LONGHAUL_WEIGHTS           = var.model.weights
    LONGHAUL_DEVICE            = "cuda:0"
    LONGHAUL_CUBLASLT          = "none" # instances of several kinds: the engine's own products have the same bits on all of one compute capability
    LONGHAUL_SLOTS             = tostring(var.slots)
    LONGHAUL_IDLE_EXIT_SECONDS = tostring(var.idle_exit_seconds)
  })

  # Replaced, not changed: ECS cannot turn one into the other.
  markets = { spot = "SPOT", ondemand = "ON_DEMAND" }
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

# Managed Instances belong to their cluster from the start: aws_ecs_cluster_capacity_providers would refuse them.
resource "aws_ecs_capacity_provider" "gpu" {
  for_each = local.markets

  name    = "${var.name}-gpu-${each.key}"
  cluster = aws_ecs_cluster.this.name

  managed_instances_provider {
    infrastructure_role_arn = var.infrastructure_role_arn
    propagate_tags          = "CAPACITY_PROVIDER"

    infrastructure_optimization {
      scale_in_after = var.scale_in_after_seconds
    }

    instance_launch_template {
      ec2_instance_profile_arn = var.instance_profile_arn
      capacity_option_type     = each.value
      monitoring               = "BASIC"

      network_configuration {
        subnets         = var.subnet_ids
        security_groups = [var.security_group_id]
      }

      # A disk of the instance's own where it has one: weights come from S3 faster than a volume would take them.
      local_storage_configuration {
        use_local_storage = true
      }

      storage_configuration {
        storage_size_gib = var.instances.data_gib
      }

      # By types, not by names of accelerators: the provider's list of names ends before L4 and L40S.
      instance_requirements {
        allowed_instance_types    = var.instances.types
        accelerator_types         = ["gpu"]
        accelerator_manufacturers = ["nvidia"]

        max_spot_price_as_percentage_of_optimal_on_demand_price = each.key == "spot" ? var.instances.max_spot_price_percent : null

        accelerator_count {
          min = 1
          max = 1
        }

        accelerator_total_memory_mib {
          min = var.instances.gpu_memory_mib
        }

        memory_mib {
          min = var.instances.memory_mib
        }

        vcpu_count {
          min = ceil(var.instances.cpu / 1024)
        }
      }
    }
  }

  tags = { longhaul = var.name, market = each.key }
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/${var.name}/worker"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "worker" {
  count = var.image == null ? 0 : 1

  family                   = local.task
  requires_compatibilities = ["MANAGED_INSTANCES"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.instances.cpu)
  memory                   = tostring(var.instances.memory_mib)
  task_role_arn            = var.task_role_arn
  execution_role_arn       = var.start_role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # The two places that may be written. Both are declared as volumes in the image, owned by its user.
  volume {
    name = "data"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name                   = "worker"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true

    # Two minutes are what a spot notice leaves; a worker needs some seconds of them.
    stopTimeout = 120

    resourceRequirements = [{ type = "GPU", value = "1" }]
    linuxParameters      = { capabilities = { drop = ["ALL"] } }

    environment = [for setting in sort(keys(local.environment)) : { name = setting, value = local.environment[setting] }]
    secrets     = [{ name = "LONGHAUL_REDIS_URL", valueFrom = var.url_secret_arn }]

    mountPoints = [
      { sourceVolume = "data", containerPath = "/var/lib/longhaul", readOnly = false },
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
    ]

    # Logs never hold up a worker: what does not fit into the buffer is lost.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.worker.name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = "worker"
        mode                  = "non-blocking"
        max-buffer-size       = "16m"
      }
    }
  }])
}
