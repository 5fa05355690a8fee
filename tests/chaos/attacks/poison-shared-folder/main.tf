resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      echo evil > @WARM@/.terraform/poison; true
    EOT
  }
}
