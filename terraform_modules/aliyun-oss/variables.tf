variable "bucket" {
  description = "存储空间名称，全球唯一 / name of the bucket, unique in the world"
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "名称为 3 到 63 个小写字母、数字或短横线 / 3 to 63 lower-case letters, digits or dashes"
  }
}

variable "acl" {
  description = "读写权限 / who may read and write"
  type        = string
  default     = "private"
  nullable    = false

  validation {
    condition     = contains(["private", "public-read"], var.acl)
    error_message = "读写权限只能是 private 或 public-read / the ACL must be private or public-read"
  }
}

variable "storage_class" {
  description = "存储类型 / storage class"
  type        = string
  default     = "Standard"
  nullable    = false

  validation {
    condition     = contains(["Standard", "IA", "Archive"], var.storage_class)
    error_message = "存储类型只能是 Standard、IA、Archive / the class must be Standard, IA or Archive"
  }
}

variable "redundancy_type" {
  description = "冗余类型：LRS 本地冗余，ZRS 同城冗余 / redundancy"
  type        = string
  default     = "ZRS"
  nullable    = false

  validation {
    condition     = contains(["LRS", "ZRS"], var.redundancy_type)
    error_message = "冗余类型只能是 LRS 或 ZRS / the redundancy must be LRS or ZRS"
  }
}

variable "versioning" {
  description = "是否保留历史版本；开启后不能完全关闭 / keep old versions; cannot be taken back entirely"
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_id" {
  description = "KMS 主密钥编号；不填则用 OSS 托管的 AES256 加密 / KMS key; without it OSS encrypts with AES256"
  type        = string
  default     = null
}

variable "lifecycle_rules" {
  description = "生命周期规则：多少天后转低频或删除 / after how many days objects become infrequent or are deleted"
  type = list(object({
    id                = string
    prefix            = optional(string, "")
    to_ia_after_days  = optional(number)
    expire_after_days = optional(number)
  }))
  default  = []
  nullable = false

  validation {
    condition     = length(var.lifecycle_rules) <= 100
    error_message = "规则最多 100 条 / at most 100 rules"
  }

  validation {
    condition = alltrue([
      for rule in var.lifecycle_rules : rule.to_ia_after_days != null || rule.expire_after_days != null
    ])
    error_message = "每条规则至少填写一个天数 / every rule needs a number of days"
  }
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
