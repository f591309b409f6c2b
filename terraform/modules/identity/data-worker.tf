# The worker reads the models and every job's input, and writes what a job becomes. It deletes checkpoints that a commit has
# superseded, marks of jobs that ended, and what it left unfinished in states and prefixes; never an output, a head, a
# result or an input. The bucket's policy keeps it from writing anything twice.

data "aws_iam_policy_document" "worker" {
  source_policy_documents = [data.aws_iam_policy_document.objects_key["ledger-and-models"].json]

  statement {
    sid       = "Models"
    effect    = "Allow"
    actions   = ["s3:GetObject"]
    resources = ["${var.models_arn}/models/*"]
  }

  # Without it S3 answers 403 in place of 404, and an absent object could not be told from a forbidden one.
  statement {
    sid       = "Names"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = [var.ledger_arn, var.models_arn]
  }

  statement {
    sid     = "Read"
    effect  = "Allow"
    actions = ["s3:GetObject"]
    resources = [
      "${var.ledger_arn}/inputs/*",
      "${var.ledger_arn}/jobs/*",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/states/*",
    ]
  }

  statement {
    sid     = "Write"
    effect  = "Allow"
    actions = ["s3:PutObject"]
    resources = [
      "${var.ledger_arn}/index/open/*",
      "${var.ledger_arn}/index/quarantined/*",
      "${var.ledger_arn}/jobs/*/ckpt/*",
      "${var.ledger_arn}/jobs/*/head.json",
      "${var.ledger_arn}/jobs/*/out/*",
      "${var.ledger_arn}/jobs/*/result*.json",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/states/*",
      "${var.ledger_arn}/tenants/*/jobs/*",
    ]
  }

  statement {
    sid     = "Delete"
    effect  = "Allow"
    actions = ["s3:DeleteObject"]
    resources = [
      "${var.ledger_arn}/index/open/*",
      "${var.ledger_arn}/index/quarantined/*",
      "${var.ledger_arn}/jobs/*/ckpt/*",
      "${var.ledger_arn}/prefixes/*",
      "${var.ledger_arn}/probe/*",
      "${var.ledger_arn}/states/*/*/ckpt/*",
    ]
  }

  dynamic "statement" {
    for_each = length(var.document_sources) > 0 ? ["documents"] : []

    content {
      sid       = "Documents"
      effect    = "Allow"
      actions   = ["s3:GetObject"]
      resources = [for source in var.document_sources : "arn:${local.partition}:s3:::${replace(trimprefix(source, "s3://"), "{tenant}", "*")}*"]
    }
  }
}
