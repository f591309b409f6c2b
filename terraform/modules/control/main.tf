# What runs while the queue is empty: the API behind a load balancer, and the controller. Both on Fargate, from one image
# without a compiler and without native parts.

data "aws_region" "current" {}

locals {
  deployed = var.image == null ? 0 : 1

  programs = {
    api = {
      command     = ["/usr/local/bin/node", "producer/main.ts", "api", "--host", "0.0.0.0", "--port", "8080"]
      environment = var.api_environment
      cpu         = 512
      memory      = 1024
      port        = 8080
    }
    controller = {
      command     = ["/usr/local/bin/node", "infra/controller/main.ts", "--json"]
      environment = var.controller_environment
      cpu         = 256
      memory      = 512
      port        = 9464
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.programs

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  for_each = { for program, parts in local.programs : program => parts if local.deployed == 1 }

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(each.value.cpu)
  memory                   = tostring(each.value.memory)
  task_role_arn            = var.task_role_arns[each.key]
  execution_role_arn       = var.start_role_arns[each.key]

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
    name                   = each.key
    image                  = var.image
    command                = each.value.command
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    stopTimeout            = 60
    linuxParameters        = { capabilities = { drop = ["ALL"] } }

    portMappings = [{ containerPort = each.value.port, protocol = "tcp" }]
    environment  = [for setting in sort(keys(each.value.environment)) : { name = setting, value = each.value.environment[setting] }]
    secrets      = [{ name = "LONGHAUL_REDIS_URL", valueFrom = var.url_secret_arns[each.key] }]

    mountPoints = [
      { sourceVolume = "data", containerPath = "/var/lib/longhaul", readOnly = false },
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
    ]

    # The image's own check, which ECS does not look for: it asks the process at LONGHAUL_METRICS_ADDRESS.
    healthCheck = {
      command     = ["CMD", "/usr/local/bin/node", "/app/healthcheck.mjs"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
        awslogs-region        = data.aws_region.current.region
        awslogs-stream-prefix = each.key
        mode                  = "non-blocking"
        max-buffer-size       = "16m"
      }
    }
  }])
}

# ---- The API

resource "aws_lb" "api" {
  name                       = "${var.name}-api"
  internal                   = var.internal
  load_balancer_type         = "application"
  security_groups            = [var.security_group_ids["alb"]]
  subnets                    = var.subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection

  # Streams of tokens are quiet while a long document is read.
  idle_timeout = 300
}

resource "aws_lb_target_group" "api" {
  name                 = "${var.name}-api"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8080
  deregistration_delay = 60

  # Alive, not ready: without Redis the API still takes jobs, which are durable and are rung later.
  health_check {
    path                = "/healthz"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

# There is no listener on port 80: an API key must never be sent in the clear, not even to be sent elsewhere.
resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.api.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.api.arn
  }
}

resource "aws_ecs_service" "api" {
  count = local.deployed

  name                               = "${var.name}-api"
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this["api"].arn
  desired_count                      = var.api_tasks
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 60

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # A public address is the way out to AWS; the security group lets nobody in but the load balancer.
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_ids["api"]]
    assign_public_ip = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.api.arn
    container_name   = "api"
    container_port   = 8080
  }

  depends_on = [aws_lb_listener.https]
}

# ---- The controller: it holds nothing that another one could miss, so that two may overlap and one may be killed

resource "aws_ecs_service" "controller" {
  count = var.controller_mode == "service" ? local.deployed : 0

  name                               = "${var.name}-controller"
  cluster                            = var.cluster_arn
  task_definition                    = aws_ecs_task_definition.this["controller"].arn
  desired_count                      = 1
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_ids["controller"]]
    assign_public_ip = true
  }
}

resource "aws_scheduler_schedule" "controller" {
  count = var.controller_mode == "schedule" ? local.deployed : 0

  name                = "${var.name}-controller"
  description         = "A look of the controller"
  schedule_expression = var.controller_minutes == 1 ? "rate(1 minute)" : "rate(${var.controller_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = var.scheduler_role_arn

    input = jsonencode({
      containerOverrides = [{ name = "controller", command = ["/usr/local/bin/node", "infra/controller/main.ts", "--once", "--scale", "--json"] }]
    })

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.this["controller"].arn
      launch_type         = "FARGATE"
      propagate_tags      = "TASK_DEFINITION"

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [var.security_group_ids["controller"]]
        assign_public_ip = true
      }
    }

    # The next look makes good for one that did not start.
    retry_policy {
      maximum_retry_attempts = 0
    }
  }
}
