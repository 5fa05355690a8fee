variable "name" {
  type        = string
  description = "Any name"
}

variable "mode" {
  type        = string
  description = "fine, fails-in-plan or fails-in-apply"
}

variable "copies" {
  type        = number
  description = "How many resources hold the values; many go through the http backend"
}

variable "password" {
  type        = string
  description = "A secret"
  sensitive   = true
}

variable "pin" {
  type        = number
  description = "A secret number"
  default     = 4711
  sensitive   = true
}

variable "entries" {
  type        = map(string)
  description = "Secrets by name"
  default     = {}
  sensitive   = true
}

variable "accounts" {
  type        = list(object({ user = string, key = string }))
  description = "Secrets in rows"
  default     = []
  sensitive   = true
}

resource "terraform_data" "vault" {
  count = var.copies
  input = { name = var.name, password = var.password, pin = var.pin, entries = var.entries, accounts = var.accounts }

  lifecycle {
    precondition {
      condition     = var.mode != "fails-in-plan"
      error_message = "The vault does not take ${nonsensitive(var.password)}."
    }

    postcondition {
      condition     = var.mode != "fails-in-apply" || length(self.id) > 1000
      error_message = "The vault broke over ${nonsensitive(var.password)}."
    }
  }
}

resource "terraform_data" "trigger" {
  triggers_replace = [var.password, var.entries]
}

output "login" {
  value     = "${var.name}:${var.password}"
  sensitive = true
}

output "everything" {
  value     = { entries = var.entries, accounts = var.accounts }
  sensitive = true
}

output "name" {
  value = var.name
}
