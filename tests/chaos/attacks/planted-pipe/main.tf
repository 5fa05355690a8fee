resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      mkfifo errored.tfstate; true
    EOT
  }
}
