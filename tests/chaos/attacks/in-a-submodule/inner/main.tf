resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      cat @DATA@/seal_keys
    EOT
  }
}
