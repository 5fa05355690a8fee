resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      mkdir m; mount --bind / m && echo STO''LEN && umount m; true
    EOT
  }
}
