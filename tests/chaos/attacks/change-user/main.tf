resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      setpriv --reuid 0 --clear-groups true && echo STO''LEN; su -c true && echo STO''LEN; true
    EOT
  }
}
