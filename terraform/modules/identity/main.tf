# Who may do what. docs/iam.md tells it as a table, and a test holds the two against each other.
#
#   worker, api, controller   what the programs may do: data-*.tf
#   *-start                   what ECS may do to start them: fetch the image, read one secret, write one log
#   infrastructure, instance  ECS Managed Instances
#   operator                  a policy for people: API keys, models, images
#
# ARNs of things that other modules make are put together from their names, so that nothing waits for a circle.

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  ecs         = "arn:${local.partition}:ecs:${local.region}:${local.account}"
  cluster_arn = "${local.ecs}:cluster/${var.name}"
  log_groups  = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/${var.name}"
  tasks       = toset(["api", "controller", "worker"])
  image_of    = { api = "control", controller = "control", worker = "worker" }
  data_policy = { api = data.aws_iam_policy_document.api.json, controller = data.aws_iam_policy_document.controller.json, worker = data.aws_iam_policy_document.worker.json }
  secrets_via = ["secretsmanager.${local.region}.amazonaws.com"]
}

data "aws_iam_policy_document" "task_trust" {
  statement {
    sid     = "Tasks"
    effect  = "Allow"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.ecs}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  for_each = local.tasks

  name               = "${var.name}-${each.key}"
  description        = "What the ${each.key} may do"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "task" {
  for_each = aws_iam_role.task

  name   = "data"
  role   = each.value.id
  policy = local.data_policy[each.key]
}

# ---- Starting a task

data "aws_iam_policy_document" "start" {
  for_each = local.tasks

  statement {
    sid       = "RegistryLogin"
    effect    = "Allow"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "Image"
    effect    = "Allow"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.repository_arns[local.image_of[each.key]]]
  }

  statement {
    sid       = "Log"
    effect    = "Allow"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_groups}/${each.key}:*"]
  }

  statement {
    sid       = "AddressOfTheQueue"
    effect    = "Allow"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.url_secret_arns[each.key]]
  }

  statement {
    sid       = "KeyOfTheSecret"
    effect    = "Allow"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = local.secrets_via
    }

    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:SecretARN"
      values   = [var.url_secret_arns[each.key]]
    }
  }
}

resource "aws_iam_role" "start" {
  for_each = local.tasks

  name               = "${var.name}-${each.key}-start"
  description        = "What ECS may do to start the ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "start" {
  for_each = aws_iam_role.start

  name   = "start"
  role   = each.value.id
  policy = data.aws_iam_policy_document.start[each.key].json
}
