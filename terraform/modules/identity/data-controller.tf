# The controller ends what is due, walks batches, tells webhooks, collects garbage, and starts workers: of one family, on one
# cluster, with two roles. Garbage is what it deletes; API keys, specs and records of batches it cannot touch.

data "aws_iam_policy_document" "controller" {
  source_policy_documents = [data.aws_iam_policy_document.objects_key["ledger"].json]

  statement {
    sid       = "Names"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = [var.ledger_arn]
  }

  statement {
    sid     = "Read"
    effect  = "Allow"
    actions = ["s3:GetObject"]
    resources = [
      "${var.ledger_arn}/batch-parts/*",
      "${var.ledger_arn}/batches/*",
      "${var.ledger_arn}/files/*",
      "${var.ledger_arn}/index/*",
      "${var.ledger_arn}/inputs/*",
      "${var.ledger_arn}/jobs/*",
      "${var.ledger_arn}/outbox/*",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/scaling/*",
      "${var.ledger_arn}/states/*",
      "${var.ledger_arn}/tenants/*",
      "${var.ledger_arn}/webhooks/*",
    ]
  }

  statement {
    sid     = "Write"
    effect  = "Allow"
    actions = ["s3:PutObject"]
    resources = [
      "${var.ledger_arn}/batch-parts/*",
      "${var.ledger_arn}/batches/*/*/head.json",
      "${var.ledger_arn}/files/*",
      "${var.ledger_arn}/index/*",
      "${var.ledger_arn}/inputs/batches/*",
      "${var.ledger_arn}/inputs/files/*",
      "${var.ledger_arn}/jobs/*/cancel*.json",
      "${var.ledger_arn}/jobs/*/head.json",
      "${var.ledger_arn}/jobs/*/result*.json",
      "${var.ledger_arn}/jobs/*/spec.json",
      "${var.ledger_arn}/outbox/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/scaling/*",
      "${var.ledger_arn}/states/*",
      "${var.ledger_arn}/tenants/*/jobs/*",
      "${var.ledger_arn}/webhooks/*",
    ]
  }

  statement {
    sid       = "BrokenUploads"
    effect    = "Allow"
    actions   = ["s3:AbortMultipartUpload"]
    resources = ["${var.ledger_arn}/inputs/files/*"]
  }

  statement {
    sid     = "Garbage"
    effect  = "Allow"
    actions = ["s3:DeleteObject"]
    resources = [
      "${var.ledger_arn}/batch-parts/*",
      "${var.ledger_arn}/index/*",
      "${var.ledger_arn}/inputs/*",
      "${var.ledger_arn}/jobs/*",
      "${var.ledger_arn}/outbox/*",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/states/*",
      "${var.ledger_arn}/tenants/*",
    ]
  }

  statement {
    sid       = "StartWorkers"
    effect    = "Allow"
    actions   = ["ecs:RunTask"]
    resources = ["${local.ecs}:task-definition/${var.name}-worker:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  # A started worker bears the controller's tags; nothing that runs already can be given others.
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
    sid       = "AsWorkers"
    effect    = "Allow"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.task["worker"].arn, aws_iam_role.start["worker"].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "LookAtWorkers"
    effect    = "Allow"
    actions   = ["ecs:DescribeTasks"]
    resources = ["${local.ecs}:task/${var.name}/*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  # Listing names no resource; the cluster is what bounds it.
  statement {
    sid       = "ListWorkers"
    effect    = "Allow"
    actions   = ["ecs:ListTasks"]
    resources = ["*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }
}
