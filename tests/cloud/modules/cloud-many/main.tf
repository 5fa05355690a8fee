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
  description = "What the servers' names begin with"
}

variable "number" {
  type        = number
  description = "How many there are"
}

variable "delay" {
  type        = number
  description = "How many seconds each creation takes"
  default     = 0
}

resource "fakecloud_server" "each" {
  count = var.number
  name  = "${var.name}-${count.index + 1}"
  delay = var.delay
}

output "server_ids" {
  value = fakecloud_server.each[*].id
}
