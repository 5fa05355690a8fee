variable "name" {
  description = "实例名称，也用于 VPC、交换机、安全组和主机名 / name of the instance and of everything around it"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,61}[a-z0-9]$", var.name))
    error_message = "名称为 2 到 63 个小写字母、数字或短横线，以字母开头 / 2 to 63 lower-case letters, digits or dashes, a letter first"
  }
}

variable "zone_id" {
  description = "可用区，例如 cn-hangzhou-k / zone"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z0-9-]+$", var.zone_id))
    error_message = "可用区应形如 cn-hangzhou-k / a zone looks like cn-hangzhou-k"
  }
}

variable "instance_type" {
  description = "实例规格，例如 ecs.g7.large / instance type"
  type        = string
  default     = "ecs.g7.large"
  nullable    = false

  validation {
    condition     = can(regex("^ecs\\.[a-z0-9-]+\\.[a-z0-9]+$", var.instance_type))
    error_message = "实例规格应形如 ecs.g7.large / an instance type looks like ecs.g7.large"
  }
}

variable "image_name_regex" {
  description = "公共镜像名称的正则表达式，取最新的一个 / pattern of the public image's name, the newest is taken"
  type        = string
  default     = "^aliyun_3_x64_20G_alibase"
  nullable    = false
}

variable "vpc_cidr" {
  description = "专有网络网段，掩码 8 到 16 位 / address range of the VPC"
  type        = string
  default     = "172.16.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 8, 0))
    error_message = "网段应形如 172.16.0.0/16 / an address range looks like 172.16.0.0/16"
  }
}

variable "ingress" {
  description = "入方向规则；默认不开放任何端口 / rules for incoming traffic; nothing is open by default"
  type = list(object({
    protocol    = optional(string, "tcp")
    port_range  = string
    cidr        = string
    description = optional(string, "")
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for rule in var.ingress : contains(["tcp", "udp", "icmp"], rule.protocol)])
    error_message = "协议只能是 tcp、udp、icmp / the protocol must be tcp, udp or icmp"
  }

  validation {
    condition     = alltrue([for rule in var.ingress : can(regex("^(-1|[0-9]+)/(-1|[0-9]+)$", rule.port_range))])
    error_message = "端口范围应形如 443/443 / a port range looks like 443/443"
  }

  validation {
    condition     = alltrue([for rule in var.ingress : can(cidrhost(rule.cidr, 0))])
    error_message = "来源应是网段，例如 10.0.0.0/8 / the source must be an address range such as 10.0.0.0/8"
  }
}

variable "key_pair_name" {
  description = "密钥对名称，用于登录 / name of the key pair for logging in"
  type        = string
  nullable    = false

  validation {
    condition     = length(var.key_pair_name) >= 2
    error_message = "请填写已存在的密钥对 / give an existing key pair"
  }
}

variable "system_disk" {
  description = "系统盘：类型、大小 (GiB)、是否加密 / system disk"
  type = object({
    category  = optional(string, "cloud_essd")
    size      = optional(number, 40)
    encrypted = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["cloud_efficiency", "cloud_ssd", "cloud_essd", "cloud_auto"], var.system_disk.category)
    error_message = "系统盘类型不支持 / this kind of system disk is not supported"
  }

  validation {
    condition     = var.system_disk.size >= 20 && var.system_disk.size <= 2048
    error_message = "系统盘大小为 20 到 2048 GiB / the system disk takes 20 to 2048 GiB"
  }
}

variable "data_disks" {
  description = "数据盘，最多 16 块 / data disks, at most 16"
  type = list(object({
    name                 = string
    category             = optional(string, "cloud_essd")
    size                 = number
    encrypted            = optional(bool, true)
    delete_with_instance = optional(bool, false)
  }))
  default  = []
  nullable = false

  validation {
    condition     = length(var.data_disks) <= 16
    error_message = "数据盘最多 16 块 / at most 16 data disks"
  }

  validation {
    condition     = alltrue([for disk in var.data_disks : disk.size >= 20 && disk.size <= 32768])
    error_message = "数据盘大小为 20 到 32768 GiB / a data disk takes 20 to 32768 GiB"
  }
}

variable "public_bandwidth" {
  description = "公网出带宽 (Mbps)，0 表示没有公网地址 / public bandwidth, 0 means no public address"
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.public_bandwidth >= 0 && var.public_bandwidth <= 100 && floor(var.public_bandwidth) == var.public_bandwidth
    error_message = "带宽为 0 到 100 的整数 / the bandwidth must be whole and between 0 and 100"
  }
}

variable "charge_type" {
  description = "付费方式：PostPaid 按量付费，PrePaid 包年包月 / charge type"
  type        = string
  default     = "PostPaid"
  nullable    = false

  validation {
    condition     = contains(["PostPaid", "PrePaid"], var.charge_type)
    error_message = "付费方式只能是 PostPaid 或 PrePaid / the charge type must be PostPaid or PrePaid"
  }
}

variable "period_months" {
  description = "包年包月的月数 / months to buy with PrePaid"
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36, 48, 60], var.period_months)
    error_message = "月数只能是 1 到 9、12、24、36、48、60 / that many months cannot be bought"
  }
}

variable "deletion_protection" {
  description = "释放保护 / protect the instance from deletion"
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "标签 / tags of all resources"
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 20
    error_message = "标签最多 20 个 / at most 20 tags"
  }
}
