locals {
  # A controller that runs always tells of the queue several times a minute, one that a schedule starts once a look. Alarms on
  # that take twice the time between two looks as their period, so that each holds one although a task starts late; and two
  # periods at least, since what one look finds waiting it has only just started workers for.
  look_minutes  = max(1, 2 * var.controller_minutes)
  least_periods = var.controller_minutes == 0 ? 1 : 2

  # CloudWatch looks back over a day at most.
  waiting_periods = min(max(local.least_periods, ceil(var.queue_age_minutes / local.look_minutes)), floor(1440 / local.look_minutes))

  # Workers are asked for once a look, so that three refusals take as many.
  starting_minutes = max(15, 4 * var.controller_minutes)

  # What is counted in logs. The controller prints a record of the demand each quarter of a minute, {at, demand, models: […]};
  # all else are lines of the programs' logs, {level, msg, …}.
  counted = {
    demand = {
      group   = var.log_groups["controller"]
      pattern = "{ ($.at = \"*\") && ($.demand >= 0) }"
      value   = "$.demand"
    }
    orphaned = {
      group   = var.log_groups["controller"]
      pattern = "{ ($.at = \"*\") && ($.models[0].orphaned >= 0) }"
      value   = "$.models[0].orphaned"
    }
    quarantined = {
      group   = var.log_groups["worker"]
      pattern = "{ $.msg = \"attempt ended: quarantine\" }"
      value   = "1"
    }
    fatal = {
      group   = var.log_groups["worker"]
      pattern = "{ $.msg = \"attempt ended: fatal\" }"
      value   = "1"
    }
    commits_waiting = {
      group   = var.log_groups["worker"]
      pattern = "{ $.msg = \"commit waits for the store\" }"
      value   = "1"
    }
    refused = {
      group   = var.log_groups["controller"]
      pattern = "{ $.msg = \"workers refused\" }"
      value   = "1"
    }
    budget_spent = {
      group   = var.log_groups["controller"]
      pattern = "{ $.msg = \"the budget of worker hours is spent\" }"
      value   = "1"
    }
    failed_starts = {
      group   = aws_cloudwatch_log_group.tasks.name
      pattern = "{ $.detail.stopCode = \"TaskFailedToStart\" }"
      value   = "1"
    }
    interruptions = {
      group   = aws_cloudwatch_log_group.tasks.name
      pattern = "{ $.detail.stopCode = \"SpotInterruption\" }"
      value   = "1"
    }
  }

  # Each says what to do; docs/operations.md says more.
  alarms = merge(
    {
      orphaned = {
        text       = "Jobs of lost workers have not come back to the queue: is a controller running, and does it reach Redis?"
        namespace  = local.ours
        metric     = "orphaned"
        statistic  = "Minimum"
        period     = 60 * local.look_minutes
        periods    = max(local.least_periods, ceil(10 / local.look_minutes))
        comparison = "GreaterThanThreshold"
        threshold  = 0
        missing    = "notBreaching"
        dimensions = {}
      }
      quarantined = {
        text       = "A job was quarantined: longhaul jobs quarantined tells why, longhaul redrive lets it go on."
        namespace  = local.ours
        metric     = "quarantined"
        statistic  = "Sum"
        period     = 300
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 0
        missing    = "notBreaching"
        dimensions = {}
      }
      fatal = {
        text       = "Workers end because their process can no longer be trusted: look at their log for the device's error."
        namespace  = local.ours
        metric     = "fatal"
        statistic  = "Sum"
        period     = 900
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 2
        missing    = "notBreaching"
        dimensions = {}
      }
      commits_waiting = {
        text       = "Commits wait for the store, so the newest checkpoints grow old: look at S3 and at the endpoint."
        namespace  = local.ours
        metric     = "commits_waiting"
        statistic  = "Sum"
        period     = 300
        periods    = 2
        comparison = "GreaterThanThreshold"
        threshold  = 5
        missing    = "notBreaching"
        dimensions = {}
      }
      refused = {
        text       = "Starts of workers are refused: is the quota of G and VT instances above 0, and is there capacity in the three zones?"
        namespace  = local.ours
        metric     = "refused"
        statistic  = "Sum"
        period     = 60 * local.starting_minutes
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 2
        missing    = "notBreaching"
        dimensions = {}
      }
      budget_spent = {
        text       = "Jobs wait, and the worker-hours of the day are spent: raise worker_limits.day_hours, or wait for midnight UTC."
        namespace  = local.ours
        metric     = "budget_spent"
        statistic  = "Sum"
        period     = 300
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 0
        missing    = "notBreaching"
        dimensions = {}
      }
      failed_starts = {
        text       = "Tasks do not start: the reason stands in the log of stopped tasks (image, secret, endpoint, capacity)."
        namespace  = local.ours
        metric     = "failed_starts"
        statistic  = "Sum"
        period     = 60 * local.starting_minutes
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 2
        missing    = "notBreaching"
        dimensions = {}
      }
      waiting_long = {
        text       = "The line was never empty for ${local.waiting_periods * local.look_minutes} minutes: are workers refused (quota, spot capacity), at their most, or stuck?"
        namespace  = local.ours
        metric     = "demand"
        statistic  = "Minimum"
        period     = 60 * local.look_minutes
        periods    = local.waiting_periods
        comparison = "GreaterThanThreshold"
        threshold  = 0
        missing    = "notBreaching"
        dimensions = {}
      }
      api_errors = {
        text       = "The API answers with errors of its own."
        namespace  = "AWS/ApplicationELB"
        metric     = "HTTPCode_Target_5XX_Count"
        statistic  = "Sum"
        period     = 300
        periods    = 1
        comparison = "GreaterThanThreshold"
        threshold  = 10
        missing    = "notBreaching"
        dimensions = { LoadBalancer = var.load_balancer }
      }
      api_away = {
        text       = "A copy of the API does not answer /healthz."
        namespace  = "AWS/ApplicationELB"
        metric     = "UnHealthyHostCount"
        statistic  = "Maximum"
        period     = 60
        periods    = 5
        comparison = "GreaterThanThreshold"
        threshold  = 0
        missing    = "notBreaching"
        dimensions = { LoadBalancer = var.load_balancer, TargetGroup = var.target_group }
      }
    },
    # Silence is the one sign of a controller that is gone.
    { for alarm in var.controller_running ? ["controller_silent"] : [] : alarm => {
      text       = "No controller tells the demand: nothing starts workers and no lost job comes back."
      namespace  = local.ours
      metric     = "demand"
      statistic  = "SampleCount"
      period     = 300
      periods    = 1 + ceil(var.controller_minutes / 5)
      comparison = "LessThanThreshold"
      threshold  = 1
      missing    = "breaching"
      dimensions = {}
    } },
    { for node in var.queue_nodes : "queue_memory_${node}" => {
      text       = "The queue's memory is three quarters full, and it evicts nothing: at its end no job is taken in. Take a larger node."
      namespace  = "AWS/ElastiCache"
      metric     = "DatabaseMemoryUsagePercentage"
      statistic  = "Maximum"
      period     = 300
      periods    = 1
      comparison = "GreaterThanThreshold"
      threshold  = 75
      missing    = "notBreaching"
      dimensions = { CacheClusterId = node }
    } },
    { for node in var.queue_nodes : "queue_cpu_${node}" => {
      text       = "The queue's engine is busy: scripts wait for one another. Take a larger node."
      namespace  = "AWS/ElastiCache"
      metric     = "EngineCPUUtilization"
      statistic  = "Average"
      period     = 300
      periods    = 3
      comparison = "GreaterThanThreshold"
      threshold  = 70
      missing    = "notBreaching"
      dimensions = { CacheClusterId = node }
    } },
  )
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.counted

  name           = "${var.name}-${each.key}"
  log_group_name = each.value.group
  pattern        = each.value.pattern

  metric_transformation {
    namespace = local.ours
    name      = each.key
    value     = each.value.value
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${replace(each.key, "_", "-")}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}
