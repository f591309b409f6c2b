output "longhaul_env" {
  description = "Settings of the command line: terraform output -json longhaul_env."
  value       = module.longhaul.longhaul_env
}

output "api_url" {
  description = "Where the API answers."
  value       = module.longhaul.api_url
}

output "api_alias" {
  description = "What the API's host name is to be an alias of."
  value       = module.longhaul.api_alias
}

output "repository_urls" {
  description = "Where the images are pushed to."
  value       = module.longhaul.repository_urls
}

output "models_url" {
  description = "Where models are pushed to."
  value       = module.longhaul.models_url
}

output "queue_url_secret" {
  description = "The secret with the queue's URL."
  value       = module.longhaul.queue_url_secret
}

output "operator_policy_arn" {
  description = "The policy for people."
  value       = module.longhaul.operator_policy_arn
}
