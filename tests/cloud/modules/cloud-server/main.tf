terraform {
  required_providers {
    fakecloud = {
      source  = "ops.local/demo/fakecloud"
      version = "1.0.0"
    }
  }
}

variable "name" {
  type        = string
  description = "What the server is called"
}

variable "size" {
  type        = string
  description = "How large it is"
  default     = "small"
}

variable "tags" {
  type        = map(string)
  description = "Labels, key and value"
  default     = {}
}

variable "password" {
  type        = string
  description = "Its first password"
  default     = null
  sensitive   = true
}

variable "delay" {
  type        = number
  description = "How many seconds its creation takes"
  default     = 0
}

resource "fakecloud_server" "this" {
  name     = var.name
  size     = var.size
  tags     = var.tags
  password = var.password
  delay    = var.delay
}

output "server_id" {
  value = fakecloud_server.this.id
}

output "password" {
  value     = fakecloud_server.this.password
  sensitive = true
}
