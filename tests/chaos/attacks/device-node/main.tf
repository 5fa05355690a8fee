resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      mknod disk b 254 0 && echo STO''LEN; rm -f disk; true
    EOT
  }
}
