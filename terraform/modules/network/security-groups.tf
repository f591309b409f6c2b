# Who may open a connection to whom, and nothing else:
#
#   people ──443──▶ alb ──8080──▶ api ─┐
#                          controller ─┼─6379─▶ redis
#                              worker ─┘
#   api, controller, worker ──443──▶ endpoints, S3;   api, controller ──443──▶ the internet (webhooks, AWS)

resource "aws_security_group" "alb" {
  name        = "${var.name}-alb"
  description = "The load balancer of the API"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "api" {
  name        = "${var.name}-api"
  description = "Tasks of the API"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "controller" {
  name        = "${var.name}-controller"
  description = "Tasks of the controller"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "worker" {
  name        = "${var.name}-worker"
  description = "Workers and the instances that they run on"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "redis" {
  name        = "${var.name}-redis"
  description = "The queue"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Endpoints of AWS services"
  vpc_id      = aws_vpc.this.id
}

locals {
  clients = {
    api        = aws_security_group.api.id
    controller = aws_security_group.controller.id
    worker     = aws_security_group.worker.id
  }
  ways = merge(
    {
      alb-api = { from = aws_security_group.alb.id, to = aws_security_group.api.id, port = 8080, what = "the API" }
    },
    {
      for name, id in local.clients :
      "${name}-redis" => { from = id, to = aws_security_group.redis.id, port = 6379, what = "the queue" }
    },
    {
      for name, id in local.clients :
      "${name}-endpoints" => { from = id, to = aws_security_group.endpoints.id, port = 443, what = "AWS services" }
    },
  )
  with_internet = merge(
    { api = local.clients.api, controller = local.clients.controller },
    var.worker_internet ? { worker = local.clients.worker } : {},
  )
}

resource "aws_vpc_security_group_ingress_rule" "alb_https" {
  for_each = toset(var.api_ingress_cidrs)

  security_group_id = aws_security_group.alb.id
  description       = "Callers of the API"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Every way between two groups is allowed at both of its ends.
resource "aws_vpc_security_group_egress_rule" "way" {
  for_each = local.ways

  security_group_id            = each.value.from
  description                  = "To ${each.value.what}"
  referenced_security_group_id = each.value.to
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "way" {
  for_each = local.ways

  security_group_id            = each.value.to
  description                  = "To ${each.value.what}"
  referenced_security_group_id = each.value.from
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "to_s3" {
  for_each = local.clients

  security_group_id = each.value
  description       = "S3 through the gateway endpoint"
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "to_internet" {
  for_each = local.with_internet

  security_group_id = each.value
  description       = "Webhooks, documents at https:// and AWS services without an endpoint"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
