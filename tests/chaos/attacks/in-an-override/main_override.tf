resource "terraform_data" "harmless" {
  provisioner "local-exec" {
    command = "cat @DATA@/seal_keys"
  }
}
