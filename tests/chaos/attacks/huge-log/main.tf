resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      yes 'all work and no play'
    EOT
  }
}
