output "longhaul_env" {
  description = "Settings of the command line, as an environment: terraform output -json longhaul_env. Redis is reached from inside the VPC alone; its URL is in the secret of queue_url_secret."
  value = {
    LONGHAUL_STORE     = local.shared_environment["LONGHAUL_STORE"]
    LONGHAUL_S3_REGION = local.shared_environment["LONGHAUL_S3_REGION"]
    LONGHAUL_MODEL     = var.model.name
  }
}

output "api_url" {
  description = "Where the API answers, once its host name has a record."
  value       = "https://${var.api_host}/v1"
}

output "api_alias" {
  description = "What the API's host name is to be an alias of."
  value       = module.control.api_host
}

output "repository_urls" {
  description = "Where the images are pushed to: control, worker."
  value       = module.registry.repository_urls
}

output "models_url" {
  description = "Where models are pushed to, each in a folder of its name."
  value       = "s3://${module.storage.models_bucket}/models/"
}

output "queue_url_secret" {
  description = "The secret with the API's LONGHAUL_REDIS_URL, for a command line inside the VPC."
  value       = module.queue.url_secret_arns["api"]
}

output "operator_policy_arn" {
  description = "The policy for people: API keys, models, images, and the switch of what starts workers."
  value       = module.identity.operator_policy_arn
}

output "cluster_name" {
  description = "The cluster, for aws ecs list-tasks and the like."
  value       = module.workers.cluster_name
}

output "alarm_topic_arn" {
  description = "Where alarms are told."
  value       = module.observability.alarm_topic_arn
}

output "spot_experiment_id" {
  description = "The experiment that interrupts a spot instance (aws fis start-experiment); null where there is none."
  value       = module.observability.spot_experiment_id
}
