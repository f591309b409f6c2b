# What everyone who reads or writes objects needs as well: the key, through S3 alone, and for objects of these buckets alone.

data "aws_iam_policy_document" "objects_key" {
  for_each = {
    ledger            = [var.ledger_arn]
    ledger-and-models = [var.ledger_arn, var.models_arn]
  }

  statement {
    sid       = "KeyOfTheObjects"
    effect    = "Allow"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:s3:arn"
      values   = concat(each.value, [for bucket in each.value : "${bucket}/*"])
    }
  }
}
