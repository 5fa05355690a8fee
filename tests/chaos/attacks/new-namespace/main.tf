resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      unshare --user --map-root-user --mount sh -c 'mount -t tmpfs none /mnt && echo STO''LEN'; true
    EOT
  }
}
