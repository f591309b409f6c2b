output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "A public subnet in each zone."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "A private subnet in each zone."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "security_group_ids" {
  description = "The security group of each part: alb, api, controller, worker, redis."
  value = {
    alb        = aws_security_group.alb.id
    api        = aws_security_group.api.id
    controller = aws_security_group.controller.id
    worker     = aws_security_group.worker.id
    redis      = aws_security_group.redis.id
  }
}
