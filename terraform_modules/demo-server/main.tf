terraform {
  required_version = ">= 1.4"
}

resource "terraform_data" "server" {
  input = {
    name = var.name
    size = var.size
    tags = var.tags
  }
}
