output "repository_urls" {
  description = "Where each image is pushed to: control, worker."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
}

output "repository_arns" {
  description = "ARN of each repository: control, worker."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.arn }
}
