resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      exec perl -e 'while (1) {}'
    EOT
  }
}
