# Two buckets: the ledger, which is the truth of every job, and the models, which workers only read.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  # Bucket names are shared by all of AWS; account and region make them ours.
  buckets = {
    ledger = "${var.name}-ledger-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.region}"
    models = "${var.name}-models-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.region}"
  }

  # The objects of the ledger that are ever replaced, always by compare-and-swap. All others are written once:
  # core/ledger/keys.ts, core/states/keys.ts, core/batches/keys.ts, core/webhooks/event.ts, core/scaling/record-object.ts,
  # core/ledger/probe-store.ts, producer/api/keys/api-keys.ts. A test runs the programs under these policies.
  mutable_keys = [
    "api-keys/*",
    "batches/*/*/head.json",
    "jobs/*/head.json",
    "jobs/*/pins/*.json",
    "outbox/*",
    "probe/*",
    "scaling/*",
    "states/*/*/pins/*.json",
  ]
}

resource "aws_s3_bucket" "this" {
  for_each = local.buckets

  bucket = each.value

  tags = { Name = each.value }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = aws_s3_bucket.this

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# A bucket that never had versions deletes for good; one whose versions are only suspended would leave a mark for each delete.
resource "aws_s3_bucket_versioning" "ledger" {
  count = var.keep_deleted_days > 0 ? 1 : 0

  bucket = aws_s3_bucket.this["ledger"].id

  versioning_configuration {
    status = "Enabled"
  }
}

# A model is never changed under a running fleet: its digest would no longer match. What was deleted comes back for a month.
resource "aws_s3_bucket_versioning" "models" {
  bucket = aws_s3_bucket.this["models"].id

  versioning_configuration {
    status = "Enabled"
  }
}

# What the ledger no longer needs the controller deletes, by what heads name and by LONGHAUL_KEEP_*_DAYS. No age of an
# object says that: an input may be as old as the job that reads it. Rules are left for what crashes leave.
resource "aws_s3_bucket_lifecycle_configuration" "ledger" {
  bucket = aws_s3_bucket.this["ledger"].id

  rule {
    id     = "parts-of-broken-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  rule {
    id     = "probes"
    status = "Enabled"

    filter {
      prefix = "probe/"
    }

    expiration {
      days = 2
    }
  }

  rule {
    id     = "deleted-and-replaced"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = max(1, var.keep_deleted_days)
    }
  }

  rule {
    id     = "marks-of-deletion"
    status = "Enabled"

    filter {}

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.ledger]
}

resource "aws_s3_bucket_lifecycle_configuration" "models" {
  bucket = aws_s3_bucket.this["models"].id

  rule {
    id     = "parts-of-broken-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  rule {
    id     = "deleted-and-replaced"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  depends_on = [aws_s3_bucket_versioning.models]
}
