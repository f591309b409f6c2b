# For people, attached to whoever runs longhaul: API keys, models, images, and the switch of what starts workers. No job and
# no document is read by it; but whoever makes API keys can make one for any tenant and ask the API for what is that tenant's,
# and whoever pushes models and images decides what runs. It is for those who are trusted with everything.

data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.objects_key["ledger-and-models"].json]

  statement {
    sid       = "Names"
    effect    = "Allow"
    actions   = ["s3:ListBucket"]
    resources = [var.ledger_arn, var.models_arn]
  }

  statement {
    sid       = "ApiKeys"
    effect    = "Allow"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.ledger_arn}/api-keys/*"]
  }

  # `longhaul controller scaling`: see, stop and lift what starts workers.
  statement {
    sid       = "Scaling"
    effect    = "Allow"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.ledger_arn}/scaling/*"]
  }

  statement {
    sid       = "Models"
    effect    = "Allow"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${var.models_arn}/models/*"]
  }

  statement {
    sid       = "RegistryLogin"
    effect    = "Allow"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid    = "Images"
    effect = "Allow"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [var.repository_arns["control"], var.repository_arns["worker"]]
  }
}

resource "aws_iam_policy" "operator" {
  name        = "${var.name}-operator"
  description = "API keys, models, images and the switch of workers of ${var.name}"
  policy      = data.aws_iam_policy_document.operator.json
}
