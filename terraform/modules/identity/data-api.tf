# The API takes what tenants bring and shows what is theirs: the program tells tenants apart, not IAM. It reads API keys, to
# know their hashes, and cannot make one; it starts nothing.

data "aws_iam_policy_document" "api" {
  source_policy_documents = [data.aws_iam_policy_document.objects_key["ledger"].json]

  statement {
    sid       = "Names"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = [var.ledger_arn]
  }

  # `readyz` is no object: asking for it proves that the store answers.
  statement {
    sid     = "Read"
    effect  = "Allow"
    actions = ["s3:GetObject"]
    resources = [
      "${var.ledger_arn}/api-keys/*",
      "${var.ledger_arn}/batch-parts/*",
      "${var.ledger_arn}/batches/*",
      "${var.ledger_arn}/files/*",
      "${var.ledger_arn}/inputs/*",
      "${var.ledger_arn}/jobs/*",
      "${var.ledger_arn}/readyz",
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
      "${var.ledger_arn}/batches/*",
      "${var.ledger_arn}/files/*",
      "${var.ledger_arn}/index/batches/*",
      "${var.ledger_arn}/index/open/*",
      "${var.ledger_arn}/index/quarantined/*",
      "${var.ledger_arn}/inputs/*",
      "${var.ledger_arn}/jobs/*/cancel*.json",
      "${var.ledger_arn}/jobs/*/head.json",
      "${var.ledger_arn}/jobs/*/result*.json",
      "${var.ledger_arn}/jobs/*/spec.json",
      "${var.ledger_arn}/states/*",
      "${var.ledger_arn}/tenants/*",
      "${var.ledger_arn}/webhooks/*",
    ]
  }

  statement {
    sid       = "BrokenUploads"
    effect    = "Allow"
    actions   = ["s3:AbortMultipartUpload"]
    resources = ["${var.ledger_arn}/inputs/*"]
  }

  statement {
    sid     = "Delete"
    effect  = "Allow"
    actions = ["s3:DeleteObject"]
    resources = [
      "${var.ledger_arn}/files/*",
      "${var.ledger_arn}/index/open/*",
      "${var.ledger_arn}/index/quarantined/*",
      "${var.ledger_arn}/inputs/files/*",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/states/*/*/ckpt/*",
      "${var.ledger_arn}/states/*/*/pins/*",
    ]
  }
}
