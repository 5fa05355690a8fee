variable "name" {
  type        = string
  description = "Any name"
}

variable "password" {
  type        = string
  description = "A secret"
  sensitive   = true
}

resource "terraform_data" "account" {
  input = { name = var.name, password = var.password }
}

output "login" {
  value     = "${var.name}:${var.password}"
  sensitive = true
}

output "name" {
  value = var.name
}
