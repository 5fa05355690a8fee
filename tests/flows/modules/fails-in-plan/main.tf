variable "name" {
  type        = string
  description = "Any name"
}

resource "terraform_data" "one" {
  input = var.name

  lifecycle {
    precondition {
      condition     = var.name == "good"
      error_message = "The name must be good."
    }
  }
}
