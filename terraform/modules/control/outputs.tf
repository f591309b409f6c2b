output "api_host" {
  description = "Host name of the load balancer: the API's name is to be an alias of it."
  value       = aws_lb.api.dns_name
}

output "load_balancer" {
  description = "The load balancer, as metrics name it."
  value       = aws_lb.api.arn_suffix
}

output "target_group" {
  description = "The API's targets, as metrics name them."
  value       = aws_lb_target_group.api.arn_suffix
}

output "log_groups" {
  description = "Where each program logs: api, controller."
  value       = { for program, group in aws_cloudwatch_log_group.this : program => group.name }
}
