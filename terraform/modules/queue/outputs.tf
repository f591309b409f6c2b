output "address" {
  description = "Host name of the primary node."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "url_secret_arns" {
  description = "The secret with LONGHAUL_REDIS_URL of each user: api, controller, worker."
  value       = { for user, secret in aws_secretsmanager_secret.url : user => secret.arn }
}

output "node_ids" {
  description = "Ids of the nodes, as metrics name them."
  value       = [for i in range(var.nodes) : format("%s-%03d", aws_elasticache_replication_group.this.replication_group_id, i + 1)]
}
