variable "name" {
  type        = string
  description = "Any name"
}

resource "terraform_data" "made" {
  input = var.name
}

resource "terraform_data" "refused" {
  input = terraform_data.made.id

  lifecycle {
    postcondition {
      condition     = self.output == "never"
      error_message = "The quota is used up."
    }
  }
}

resource "terraform_data" "after" {
  input = terraform_data.refused.output
}
