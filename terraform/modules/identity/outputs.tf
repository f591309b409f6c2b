output "task_role_arns" {
  description = "What each program may do: api, controller, worker."
  value       = { for task, role in aws_iam_role.task : task => role.arn }
}

output "start_role_arns" {
  description = "What ECS may do to start each program: api, controller, worker."
  value       = { for task, role in aws_iam_role.start : task => role.arn }
}

output "infrastructure_role_arn" {
  description = "How ECS starts and ends instances."
  value       = aws_iam_role.infrastructure.arn

  # The policy must be there before the first instance is asked for, and until the last one is gone.
  depends_on = [aws_iam_role_policy_attachment.infrastructure]
}

output "instance_profile_arn" {
  description = "What an instance of workers is started with."
  value       = aws_iam_instance_profile.instance.arn

  depends_on = [aws_iam_role_policy_attachment.instance]
}

output "scheduler_role_arn" {
  description = "How a controller is started by a schedule."
  value       = aws_iam_role.scheduler.arn
}

output "flow_log_role_arn" {
  description = "How the VPC writes its flow log."
  value       = aws_iam_role.flow_log.arn
}

output "fault_role_arn" {
  description = "How spot interruptions are made on purpose; null where they are not."
  value       = one(aws_iam_role.fault[*].arn)
}

output "operator_policy_arn" {
  description = "The policy for people who run longhaul."
  value       = aws_iam_policy.operator.arn
}
