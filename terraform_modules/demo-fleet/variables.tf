variable "name" {
  description = "名称，每台服务器在后面加上序号 / name, each server adds its number"
  type        = string
  nullable    = false

  validation {
    condition     = length(var.name) >= 1
    error_message = "名称不能为空 / the name must not be empty"
  }
}

# Terraform keeps the name `count` for itself; the offer calls this input `count`.
variable "server_count" {
  description = "数量，1 到 5000 / how many servers, 1 to 5000"
  type        = number
  nullable    = false

  validation {
    condition     = var.server_count >= 1 && var.server_count <= 5000 && floor(var.server_count) == var.server_count
    error_message = "数量必须是 1 到 5000 的整数 / the number must be whole and between 1 and 5000"
  }
}
