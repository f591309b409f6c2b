# Bucket policies deny; what is allowed stands in the roles. A deny holds for everybody, also for who administers the account.

data "aws_iam_policy_document" "encrypted" {
  for_each = aws_s3_bucket.this

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "Tls12OrLater"
    effect    = "Deny"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }

  # An upload that names no key is encrypted with ours by the bucket's default.
  statement {
    sid       = "OurKeyOnly"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${each.value.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "StringNotEquals"
      variable = "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = [var.kms_key_arn]
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = ["false"]
    }
  }
}

data "aws_iam_policy_document" "ledger" {
  source_policy_documents = [data.aws_iam_policy_document.encrypted["ledger"].json]

  # What is written once cannot be written twice: not by a worker that was declared dead, not by a copy of the program
  # with a fault, not by hand. S3 evaluates s3:ObjectCreationOperation as false for the parts of an upload, which carry no
  # condition; the call that completes it does. Keys that are not listed as mutable fall under this, new ones too.
  statement {
    sid           = "WrittenOnce"
    effect        = "Deny"
    actions       = ["s3:PutObject"]
    not_resources = [for key in local.mutable_keys : "${aws_s3_bucket.this["ledger"].arn}/${key}"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }

  # The others are made with if-none-match and replaced with if-match: never blindly.
  statement {
    sid       = "ReplacedBySwapOnly"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = [for key in local.mutable_keys : "${aws_s3_bucket.this["ledger"].arn}/${key}"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Null"
      variable = "s3:if-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }
}

resource "aws_s3_bucket_policy" "ledger" {
  bucket = aws_s3_bucket.this["ledger"].id
  policy = data.aws_iam_policy_document.ledger.json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_policy" "models" {
  bucket = aws_s3_bucket.this["models"].id
  policy = data.aws_iam_policy_document.encrypted["models"].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}
