output "alarm_topic_arn" {
  description = "Where alarms are told."
  value       = aws_sns_topic.alarms.arn
}

output "spot_experiment_id" {
  description = "The experiment that interrupts a spot instance; null where there is none."
  value       = one(aws_fis_experiment_template.spot[*].id)
}
