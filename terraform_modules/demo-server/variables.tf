variable "name" {
  description = "服务器名称 / name of the server"
  type        = string
  nullable    = false

  validation {
    condition     = length(var.name) >= 1
    error_message = "名称不能为空 / the name must not be empty"
  }
}

variable "size" {
  description = "规格：small、medium 或 large / size of the server"
  type        = string
  nullable    = false

  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "规格只能是 small、medium、large / the size must be small, medium or large"
  }
}

variable "tags" {
  description = "标签，键和值 / labels, key and value"
  type        = map(string)
  default     = {}
  nullable    = false
}
