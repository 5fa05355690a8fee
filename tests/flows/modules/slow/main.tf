variable "seconds" {
  type        = number
  description = "How long it takes"
}

resource "terraform_data" "first" {
  input = var.seconds
}

resource "terraform_data" "second" {
  input = terraform_data.first.id

  provisioner "local-exec" {
    command = "sleep ${var.seconds}"
  }
}
