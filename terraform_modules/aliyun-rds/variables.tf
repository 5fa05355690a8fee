variable "name" {
  description = "实例名称 / name of the instance"
  type        = string
  nullable    = false

  validation {
    condition     = length(var.name) >= 2 && length(var.name) <= 255
    error_message = "名称为 2 到 255 个字符 / the name takes 2 to 255 characters"
  }
}

variable "engine" {
  description = "数据库类型 / kind of database"
  type        = string
  default     = "MySQL"
  nullable    = false

  validation {
    condition     = contains(["MySQL", "PostgreSQL"], var.engine)
    error_message = "数据库类型只能是 MySQL 或 PostgreSQL / the engine must be MySQL or PostgreSQL"
  }
}

variable "engine_version" {
  description = "数据库版本，例如 8.0 (MySQL) 或 15.0 (PostgreSQL) / version of the engine"
  type        = string
  default     = "8.0"
  nullable    = false

  validation {
    condition     = contains(["5.7", "8.0", "13.0", "14.0", "15.0", "16.0"], var.engine_version)
    error_message = "不支持这个版本 / this version is not supported"
  }
}

variable "instance_type" {
  description = "实例规格，例如 mysql.n2.medium.1 / instance class"
  type        = string
  default     = "mysql.n2.medium.1"
  nullable    = false
}

variable "storage_gb" {
  description = "存储空间 (GB)，5 的倍数 / storage in GB, a multiple of 5"
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 2000 && var.storage_gb % 5 == 0
    error_message = "存储空间为 20 到 2000 GB，5 的倍数 / storage takes 20 to 2000 GB in steps of 5"
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

variable "vswitch_id" {
  description = "交换机编号，须在同一可用区 / id of the vSwitch, in the same zone"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^vsw-[a-z0-9]+$", var.vswitch_id))
    error_message = "交换机编号以 vsw- 开头 / the id of a vSwitch begins with vsw-"
  }
}

variable "whitelist" {
  description = "白名单：可以访问的地址或网段 / addresses that may connect"
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.whitelist) >= 1 && length(var.whitelist) <= 1000
    error_message = "白名单为 1 到 1000 条 / the whitelist takes 1 to 1000 entries"
  }

  validation {
    condition     = alltrue([for address in var.whitelist : can(regex("^[0-9.]+(/[0-9]+)?$", address))])
    error_message = "每条应是地址或网段，例如 10.0.0.0/8 / every entry is an address or a range such as 10.0.0.0/8"
  }

  validation {
    condition     = !contains(var.whitelist, "0.0.0.0/0")
    error_message = "不允许对所有地址开放 / opening it to every address is not allowed"
  }
}

variable "database_name" {
  description = "数据库名 / name of the database"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_-]{0,62}[a-z0-9]$", var.database_name))
    error_message = "2 到 64 个小写字母、数字、下划线或短横线，以字母开头 / 2 to 64 lower-case letters, digits, _ or -, a letter first"
  }
}

variable "account_name" {
  description = "数据库账号 / name of the account"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,14}[a-z0-9]$", var.account_name))
    error_message = "2 到 16 个小写字母、数字或下划线，以字母开头 / 2 to 16 lower-case letters, digits or _, a letter first"
  }
}

variable "account_password" {
  description = "账号密码，8 到 32 位，含大写、小写、数字、特殊字符中的三种 / password of the account"
  type        = string
  sensitive   = true
  nullable    = false

  validation {
    condition     = length(var.account_password) >= 8 && length(var.account_password) <= 32
    error_message = "密码为 8 到 32 个字符 / the password takes 8 to 32 characters"
  }
}

variable "charge_type" {
  description = "付费方式：Postpaid 按量付费，Prepaid 包年包月 / charge type"
  type        = string
  default     = "Postpaid"
  nullable    = false

  validation {
    condition     = contains(["Postpaid", "Prepaid"], var.charge_type)
    error_message = "付费方式只能是 Postpaid 或 Prepaid / the charge type must be Postpaid or Prepaid"
  }
}

variable "period_months" {
  description = "包年包月的月数 / months to buy with Prepaid"
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 36], var.period_months)
    error_message = "月数只能是 1 到 9、12、24、36 / that many months cannot be bought"
  }
}

variable "deletion_protection" {
  description = "释放保护，仅对按量付费有效 / protect from deletion, with Postpaid only"
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "标签 / tags"
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.tags) <= 20
    error_message = "标签最多 20 个 / at most 20 tags"
  }
}
