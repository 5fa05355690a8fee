terraform {
  required_version = ">= 1.4"
}

resource "terraform_data" "server" {
  count = var.server_count

  input = {
    name = "${var.name}-${count.index + 1}"
  }
}
