# ---- Who may be these roles: a service of AWS, on behalf of this account alone

data "aws_iam_policy_document" "service_trust" {
  for_each = {
    ecs       = { sid = "Ecs", service = "ecs.amazonaws.com" }
    scheduler = { sid = "Scheduler", service = "scheduler.amazonaws.com" }
    flow_log  = { sid = "FlowLogs", service = "vpc-flow-logs.amazonaws.com" }
    fault     = { sid = "Fis", service = "fis.amazonaws.com" }
  }

  statement {
    sid     = each.value.sid
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [each.value.service]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

# ---- ECS Managed Instances. AWS keeps the two policies, since what its agent and its launcher need changes with them.

resource "aws_iam_role" "infrastructure" {
  name               = "${var.name}-infrastructure"
  description        = "How ECS starts and ends the instances of workers"
  assume_role_policy = data.aws_iam_policy_document.service_trust["ecs"].json
}

resource "aws_iam_role_policy_attachment" "infrastructure" {
  role       = aws_iam_role.infrastructure.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances"
}

# EC2 is the caller for an instance, and names no account.
data "aws_iam_policy_document" "instance_trust" {
  statement {
    sid     = "Instances"
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# The name is not free: AWS' policy above may hand on roles only that begin with ecsInstanceRole.
resource "aws_iam_role" "instance" {
  name               = "ecsInstanceRole-${var.name}"
  description        = "How an instance of workers speaks with ECS"
  assume_role_policy = data.aws_iam_policy_document.instance_trust.json
}

resource "aws_iam_role_policy_attachment" "instance" {
  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonECSInstanceRolePolicyForManagedInstances"
}

resource "aws_iam_instance_profile" "instance" {
  name = aws_iam_role.instance.name
  role = aws_iam_role.instance.name
}

# ---- The schedule that starts a controller, where it is no service

data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "StartControllers"
    effect    = "Allow"
    actions   = ["ecs:RunTask"]
    resources = ["${local.ecs}:task-definition/${var.name}-controller:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  # The schedule hands on the tags of the task definition, and ECS asks for the right to set them; nothing that runs already
  # can be given others.
  statement {
    sid       = "TagThem"
    effect    = "Allow"
    actions   = ["ecs:TagResource"]
    resources = ["${local.ecs}:task/${var.name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "AsControllers"
    effect    = "Allow"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.task["controller"].arn, aws_iam_role.start["controller"].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  description        = "How a controller is started by a schedule"
  assume_role_policy = data.aws_iam_policy_document.service_trust["scheduler"].json
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "start"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}

# ---- The flow log

data "aws_iam_policy_document" "flow_log" {
  statement {
    sid       = "Log"
    effect    = "Allow"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${local.log_groups}/flow:*"]
  }
}

resource "aws_iam_role" "flow_log" {
  name               = "${var.name}-flow-log"
  description        = "How the VPC writes its flow log"
  assume_role_policy = data.aws_iam_policy_document.service_trust["flow_log"].json
}

resource "aws_iam_role_policy" "flow_log" {
  name   = "log"
  role   = aws_iam_role.flow_log.id
  policy = data.aws_iam_policy_document.flow_log.json
}

# ---- Spot interruptions on purpose, outside of production

data "aws_iam_policy_document" "fault" {
  statement {
    sid       = "Interrupt"
    effect    = "Allow"
    actions   = ["ec2:SendSpotInstanceInterruptions"]
    resources = ["arn:${local.partition}:ec2:${local.region}:${local.account}:instance/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/longhaul"
      values   = [var.name]
    }
  }

  # Describing instances knows no resources.
  statement {
    sid       = "Find"
    effect    = "Allow"
    actions   = ["ec2:DescribeInstances"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "fault" {
  count = var.fault_injection ? 1 : 0

  name               = "${var.name}-fault"
  description        = "How spot interruptions are made on purpose"
  assume_role_policy = data.aws_iam_policy_document.service_trust["fault"].json
}

resource "aws_iam_role_policy" "fault" {
  count = var.fault_injection ? 1 : 0

  name   = "interrupt"
  role   = aws_iam_role.fault[0].id
  policy = data.aws_iam_policy_document.fault.json
}
