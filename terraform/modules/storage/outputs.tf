output "ledger_bucket" {
  description = "Name of the ledger's bucket."
  value       = aws_s3_bucket.this["ledger"].id
}

output "ledger_arn" {
  description = "ARN of the ledger's bucket."
  value       = aws_s3_bucket.this["ledger"].arn
}

output "models_bucket" {
  description = "Name of the models' bucket."
  value       = aws_s3_bucket.this["models"].id
}

output "models_arn" {
  description = "ARN of the models' bucket."
  value       = aws_s3_bucket.this["models"].arn
}
