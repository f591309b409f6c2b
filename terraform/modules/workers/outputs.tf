output "cluster_name" {
  description = "The cluster."
  value       = aws_ecs_cluster.this.name
}

output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "task_family" {
  description = "The family of the worker's task definition; its newest revision is what is started."
  value       = local.task
}

output "capacity_providers" {
  description = "The capacity provider of each market: spot, ondemand."
  value       = { for market, provider in aws_ecs_capacity_provider.gpu : market => provider.name }
}

output "log_group" {
  description = "Where workers log."
  value       = aws_cloudwatch_log_group.worker.name
}
